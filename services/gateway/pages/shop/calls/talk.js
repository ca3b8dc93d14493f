// Texts over a peer's data channel: JSON, one object for each message. They pass no server.

/** @typedef {{ from: string, text: string }} Said */

const LONGEST = 2000;

/**
 * The text in a message of the other end; empty for anything else.
 * @param {unknown} data
 */
export function textOf(data) {
  if (typeof data !== "string") return "";
  try {
    const message = JSON.parse(data);
    return message?.kind === "text" && typeof message.text === "string" ? message.text.slice(0, LONGEST) : "";
  } catch {
    return "";
  }
}

/** @param {string} text */
export const messageOf = (text) => JSON.stringify({ kind: "text", text: text.slice(0, LONGEST) });
