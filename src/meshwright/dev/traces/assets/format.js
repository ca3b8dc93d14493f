// Times, durations and colours in words that people read.

const UNITS = [
  [86400e6, "d", 3600e6, "h"],
  [3600e6, "h", 60e6, "m"],
  [60e6, "m", 1e6, "s"],
];

/** A duration in microseconds with about three significant digits. */
export function duration(micros) {
  for (const [size, unit, smaller, smallerUnit] of UNITS) {
    if (micros >= size) {
      const whole = Math.floor(micros / size);
      const rest = Math.floor((micros % size) / smaller);
      return rest ? `${whole}${unit} ${rest}${smallerUnit}` : `${whole}${unit}`;
    }
  }
  if (micros >= 1e6) return `${digits(micros / 1e6)} s`;
  if (micros >= 1e3) return `${digits(micros / 1e3)} ms`;
  return `${Math.round(micros)} µs`;
}

function digits(value) {
  return String(Number(value.toPrecision(value >= 100 ? 4 : 3)));
}

/** A position on a ruler; the sign shows where clocks disagree. */
export function offset(micros) {
  return micros < 0 ? `−${duration(-micros)}` : duration(micros);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

export function clock(micros) {
  return CLOCK.format(new Date(micros / 1000));
}

export function preciseClock(micros) {
  return `${clock(micros)}.${String(Math.floor(micros / 1000) % 1000).padStart(3, "0")}`;
}

/** Date and time; the date only where it is not today. */
export function moment(micros, now = Date.now()) {
  const date = new Date(micros / 1000);
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
}

export function ago(micros, now = Date.now()) {
  const seconds = Math.round(now / 1000 - micros / 1e6);
  if (seconds < -2) return `${duration(-seconds * 1e6)} ahead of this clock`;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** A gRPC method without its package, where there is little room: `demo.user.v1.UserService/GetUser` is long. */
export function shortName(name) {
  return name.match(/^[\w.]+\.(\w+\/\w+)$/)?.[1] ?? name;
}

// Hues that stay apart from each other and from the red of errors, in both themes.
const HUES = [245, 160, 70, 305, 200, 125, 345, 275, 100, 180, 225, 45];
const taken = new Map();

/** The hue of a service: the same on every page, and shared by two services only when there are more than twelve. */
export function hue(service) {
  if (!taken.has(service)) {
    let hash = 7;
    for (const letter of service) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
    const used = new Set(taken.values());
    let slot = hash % HUES.length;
    for (let step = 0; step < HUES.length && used.has(slot); step++) slot = (slot + 1) % HUES.length;
    taken.set(service, slot);
  }
  return String(HUES[taken.get(service)]);
}

/** Gives services their hues in an order that does not depend on which is seen first. */
export function assignHues(services) {
  [...services].sort().forEach(hue);
}

/** Reads `key=value key="two words"` as Jaeger's page does; null where it is not that. */
export function readTags(text) {
  const found = {};
  const part = /\s*([^\s=]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))(?=\s|$)/y;
  const trimmed = text.trim();
  part.lastIndex = 0;
  while (part.lastIndex < trimmed.length) {
    const match = part.exec(trimmed);
    if (!match) return null;
    found[match[1]] = match[2] === undefined ? match[3] : match[2].replace(/\\(.)/g, "$1");
  }
  return found;
}

/** The other way round. */
export function writeTags(tags) {
  return Object.entries(tags)
    .map(([key, value]) => `${key}=${/[\s"]/.test(value) ? `"${String(value).replace(/["\\]/g, "\\$&")}"` : value}`)
    .join(" ");
}
