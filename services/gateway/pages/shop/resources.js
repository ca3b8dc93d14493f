// The gateway's resources and messages, as far as the shop uses them. Types only: no browser loads this.

/** @typedef {{ traces_url: string, logins: string[], realtime: boolean }} Settings */
/** @typedef {{ access_token: string, refresh_token: string, subject: string, expires_in: number }} Tokens `expires_in`: seconds. */
/** @typedef {{ balance_cents: number }} Account */
/** @typedef {{ sku: string, title: string, price_cents: number, available: number }} StockItem */
/** @typedef {{ sku: string, quantity: number }} OrderItem */
/** @typedef {{ name: string, state: string, attempts: number, error?: string }} Step */
/**
 * @typedef {object} Order
 * @property {string} id
 * @property {string} state
 * @property {number} version
 * @property {string} reason
 * @property {number} total_cents
 * @property {string} placed_at
 * @property {string} updated_at
 * @property {OrderItem[]} items
 * @property {Step[]} steps
 */
/** @typedef {{ type: string, data: string, occurred_at: string }} OrderEvent `data`: JSON. */
/** @typedef {{ id: string, kind: string, title: string, message: string, created_at: string, data?: { status?: string } }} Notification */
/** @typedef {{ user_id: string, name: string }} Person */
/** @typedef {{ id: string, room: string, user_id: string, name: string, text: string, sent_at: string, client_id: string }} Message */
/** @typedef {{ room: string, client_id: string, text: string }} Outgoing A message that is not known to be stored. */
/**
 * @typedef {object} ApiVersion
 * @property {string} version
 * @property {string} base
 * @property {string} status
 * @property {string} features
 * @property {string | null} [deprecated_at]
 * @property {string | null} [sunset_at]
 * @property {Record<string, string>} [opt_in] Headers that ask for it.
 */
/** @typedef {{ current: string, versions: ApiVersion[] }} Versions */
/** @typedef {{ ref?: string, client_id?: string, code: string, reason?: string, detail: string }} Refusal */
/**
 * @typedef {object} ServerMessages What the WebSocket brings, by type (docs/reference/realtime.md).
 * @property {object} welcome
 * @property {{ room: string, people: Person[], total: number }} joined
 * @property {Message} message
 * @property {{ room: string, client_id: string }} said
 * @property {Person & { room: string, present: boolean }} presence
 * @property {{ room: string }} interrupted
 * @property {{ room: string, first: string, last: string }} missed
 * @property {Notification} notification
 * @property {Refusal} error
 * @property {import("./calls/call_client.js").CallState} call
 * @property {import("./calls/call_client.js").IncomingSignal} signal
 */

export {};
