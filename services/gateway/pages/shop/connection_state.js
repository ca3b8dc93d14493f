// Whether what is shown is live, in one word.

import { byId } from "./shared/page.js";

/** @import { Connection, ConnectionState } from "./connection.js" */

/** @type {Record<ConnectionState, [words: string, kind: string]>} */
const STATES = {
  off: ["", ""],
  connecting: ["Connecting …", ""],
  live: ["Live", "good"],
  lost: ["Reconnecting …", "warn"],
};

/** @param {Connection} connection */
export function startConnectionState(connection) {
  const node = byId("link");
  /** @param {ConnectionState} state */
  const tell = (state) => {
    const [words, kind] = STATES[state];
    node.hidden = state === "off";
    node.textContent = words;
    node.className = `link ${kind}`;
  };
  connection.onState(tell);
  tell(connection.state);
}
