// One other participant of a call: a connection by perfect negotiation (W3C WebRTC, 10.7), what it sends and what comes.
//
// Both ends may offer at any time. Where offers collide the impolite end ignores the other's, and the polite one takes
// its own back. Signals are worked off one after the other, in the order in which they came.

/** @typedef {{ kind: string, description?: RTCSessionDescriptionInit, candidate?: RTCIceCandidateInit | null }} PeerSignal */
/**
 * @typedef {object} PeerListener
 * @property {(signal: PeerSignal) => void} send Takes a signal to the other end; it may be lost.
 * @property {() => void} onChange Something about this peer is different.
 * @property {() => void} onIce The state of ICE is.
 * @property {(channel: RTCDataChannel) => void} onChannel The channel for texts and files is open.
 */

const CHANNEL = { negotiated: true, id: 0, ordered: true };

export class Peer {
  #listener;
  #polite;
  #making = false;
  #ignoring = false;
  #answering = false;
  #ended = false;
  /** @type {Promise<void>} */
  #signals;
  /** Types of candidates that this end has tried. @type {Set<string>} */
  tried = new Set();
  /** What comes from the other end. */
  stream = new MediaStream();
  connection = new RTCPeerConnection();
  /** @type {RTCDataChannel | null} */
  channel = null;

  /**
   * @param {string} id The participant's.
   * @param {boolean} polite Whether this end gives way.
   * @param {Promise<RTCConfiguration>} configuration Nothing is negotiated before it is known.
   * @param {MediaStream} media What to send from the start.
   * @param {PeerListener} listener
   */
  constructor(id, polite, configuration, media, listener) {
    this.id = id;
    this.#polite = polite;
    this.#listener = listener;
    const connection = this.connection;
    connection.onnegotiationneeded = () => this.#offer();
    connection.onicecandidate = ({ candidate }) => this.#found(candidate);
    connection.ontrack = ({ track }) => this.#take(track);
    connection.oniceconnectionstatechange = () => {
      listener.onIce();
      listener.onChange();
    };
    connection.onsignalingstatechange = () => listener.onChange();
    connection.onconnectionstatechange = () => listener.onChange();
    this.#signals = configuration.then((known) => this.#begin(known, media));
  }

  /**
   * @param {RTCConfiguration} configuration
   * @param {MediaStream} media
   */
  async #begin(configuration, media) {
    if (this.#ended) return;
    this.connection.setConfiguration(configuration);
    const channel = this.connection.createDataChannel("talk", CHANNEL);
    channel.binaryType = "arraybuffer";
    channel.onopen = () => this.#listener.onChannel(channel);
    this.channel = channel;
    await this.sendTracks(media);
  }

  /**
   * Sends the tracks of `media`, in place of those before of the same kind; without one of a kind nothing of it is sent.
   * @param {MediaStream} media
   */
  async sendTracks(media) {
    for (const kind of ["audio", "video"]) {
      if (this.#ended) return;
      const track = media.getTracks().find((one) => one.kind === kind) ?? null;
      const known = this.connection.getTransceivers().find((one) => one.receiver.track.kind === kind);
      if (known) {
        await known.sender.replaceTrack(track);
        // Said in the description: else the last picture would stand at the other end.
        known.direction = track ? "sendrecv" : "recvonly";
      } else if (track) this.connection.addTrack(track, media);
    }
  }

  /** Whether the other end sends pictures, by what was negotiated: a track's `muted` misses the first packet now and then. */
  get hasPicture() {
    const receives = (/** @type {string | null} */ direction) => direction === "sendrecv" || direction === "recvonly";
    return this.connection
      .getTransceivers()
      .some((one) => one.receiver.track.kind === "video" && receives(one.currentDirection));
  }

  /**
   * Takes what the other end has signalled.
   * @param {PeerSignal} signal
   */
  receive(signal) {
    this.#signals = this.#signals.then(() => (this.#ended ? undefined : this.#handle(signal)));
    return this.#signals;
  }

  /** After either end was away: says again what may have been lost, and looks for another way where the media stopped. */
  resume() {
    if (this.#ended) return;
    const { signalingState, iceConnectionState, localDescription } = this.connection;
    if (signalingState === "have-local-offer" && localDescription)
      this.#listener.send({ kind: "description", description: localDescription.toJSON() });
    else if (iceConnectionState === "failed" || iceConnectionState === "disconnected") this.connection.restartIce();
  }

  close() {
    this.#ended = true;
    this.connection.close();
  }

  async #offer() {
    try {
      this.#making = true;
      await this.connection.setLocalDescription();
      this.#describe();
    } catch (error) {
      if (!this.#ended) throw error;
    } finally {
      this.#making = false;
    }
  }

  #describe() {
    const description = this.connection.localDescription;
    if (description && !this.#ended) this.#listener.send({ kind: "description", description: description.toJSON() });
  }

  /** @param {RTCIceCandidate | null} candidate */
  #found(candidate) {
    if (candidate?.type) this.tried.add(candidate.type);
    if (!this.#ended) this.#listener.send({ kind: "candidate", candidate: candidate?.toJSON() ?? null });
  }

  /** @param {MediaStreamTrack} track */
  #take(track) {
    for (const old of this.stream.getTracks()) if (old.kind === track.kind) this.stream.removeTrack(old);
    this.stream.addTrack(track);
    this.#listener.onChange();
  }

  /** @param {PeerSignal} signal */
  async #handle({ kind, description, candidate }) {
    try {
      if (kind === "description" && description) await this.#takeDescription(description);
      else if (kind === "candidate") await this.connection.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // Candidates of an offer that was ignored fit nothing here; so does what comes after the end.
      if (!this.#ignoring && !this.#ended) console.warn("a signal of the other end could not be used", error);
    }
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #takeDescription(description) {
    const connection = this.connection;
    const free = !this.#making && (connection.signalingState === "stable" || this.#answering);
    this.#ignoring = !this.#polite && description.type === "offer" && !free;
    if (this.#ignoring) return;
    this.#answering = description.type === "answer";
    try {
      await connection.setRemoteDescription(description);
    } finally {
      this.#answering = false;
    }
    if (description.type !== "offer") return;
    await connection.setLocalDescription();
    this.#describe();
  }
}
