// What a connection's statistics say (W3C WebRTC Statistics), as the few figures that the panel shows. Pure.

/** @typedef {Record<string, any> & { id: string, type: string, timestamp: number }} Stat */
/**
 * @typedef {object} Figures
 * @property {string} local Type of this end's candidate: host, srflx, prflx, relay; empty: none is in use.
 * @property {string} remote
 * @property {string} protocol udp or tcp; to the relay, if one is in use.
 * @property {number | undefined} rtt Seconds.
 * @property {number | undefined} jitter Seconds, of what comes in, the worst of all tracks.
 * @property {number} lost Packets of media that never came.
 * @property {number} received Packets of media.
 * @property {number} bytesIn Media and data.
 * @property {number} bytesOut
 * @property {string[]} codecs Of what comes in.
 * @property {string} size Of the video that comes in.
 * @property {number} at Milliseconds, on the statistics' clock.
 */

/**
 * The pair of candidates in use; undefined for none.
 * @param {Map<string, Stat>} stats By id.
 */
export function pairInUse(stats) {
  const all = [...stats.values()];
  const transport = all.find((one) => one.type === "transport" && one.selectedCandidatePairId);
  if (transport) return stats.get(transport.selectedCandidatePairId);
  return all.find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded");
}

/**
 * @param {Iterable<Stat>} report
 * @returns {Figures}
 */
export function figuresOf(report) {
  const stats = new Map([...report].map((one) => [one.id, one]));
  const pair = pairInUse(stats);
  const inbound = [...stats.values()].filter((one) => one.type === "inbound-rtp");
  const local = stats.get(pair?.localCandidateId);
  const video = inbound.find((one) => one.kind === "video" && one.frameWidth);
  const jitters = inbound.flatMap((one) => (one.jitter === undefined ? [] : [one.jitter]));
  return {
    local: local?.candidateType ?? "",
    remote: stats.get(pair?.remoteCandidateId)?.candidateType ?? "",
    protocol: local?.relayProtocol ?? local?.protocol ?? "",
    rtt: pair?.currentRoundTripTime,
    jitter: jitters.length ? Math.max(...jitters) : undefined,
    lost: inbound.reduce((sum, one) => sum + Math.max(0, one.packetsLost ?? 0), 0),
    received: inbound.reduce((sum, one) => sum + (one.packetsReceived ?? 0), 0),
    bytesIn: pair?.bytesReceived ?? 0,
    bytesOut: pair?.bytesSent ?? 0,
    codecs: [...new Set(inbound.flatMap((one) => codec(stats.get(one.codecId))))],
    size: video ? `${video.frameWidth} × ${video.frameHeight}` : "",
    at: pair?.timestamp ?? 0,
  };
}

/** @param {Stat | undefined} stat */
const codec = (stat) => (stat?.mimeType ? [String(stat.mimeType).split("/")[1] ?? ""] : []);

/**
 * Bits a second between two looks; undefined before there are two.
 * @param {Figures | undefined} before
 * @param {Figures} now
 */
export function rates(before, now) {
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  if (!before || seconds <= 0) return undefined;
  const rate = (/** @type {number} */ bytes) => Math.max(0, (8 * bytes) / seconds);
  return { in: rate(now.bytesIn - before.bytesIn), out: rate(now.bytesOut - before.bytesOut) };
}

/**
 * The share of media packets that were lost, from 0 to 1.
 * @param {Figures} figures
 */
export const loss = ({ lost, received }) => (lost + received ? lost / (lost + received) : 0);

/** @param {number} bits A second. */
export function bitRate(bits) {
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

const WAYS = new Map([
  ["host", "direct, in one network"],
  ["srflx", "direct, through routers"],
  ["prflx", "direct, through routers"],
  ["relay", "by a TURN server"],
]);

/**
 * How the media go, in words.
 * @param {Figures} figures
 */
export function way({ local, remote }) {
  if (!local || !remote) return "no connection yet";
  const types = [local, remote];
  const type = ["relay", "srflx", "prflx"].find((one) => types.includes(one)) ?? "host";
  return WAYS.get(type) ?? type;
}
