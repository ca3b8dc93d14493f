// The session, which all windows of a browser share, in IndexedDB. Not in localStorage: windows are processes of their own,
// and what one writes there another may read a moment later only, even where a lock makes them take turns. A transaction
// sees what was there when it began. Other windows are told of a change, and look.

/**
 * @typedef {object} Session
 * @property {string} access The access token.
 * @property {string} refresh The refresh token.
 * @property {string} subject The user's id.
 * @property {number} lifetime Of the access token, in milliseconds.
 * @property {number} expires When the access token does, in milliseconds since 1970.
 * @property {{ name: string, email: string }} [profile]
 */

const NAME = "meshwright";
const STORE = "kept";
const KEY = "session";
/** @type {BroadcastChannel | null} */
let shared = null;
/** @type {Promise<IDBDatabase> | null} */
let opened = null;

/** Where windows tell each other of changes. */
function channel() {
  shared ||= new BroadcastChannel(NAME);
  return shared;
}

function open() {
  opened ||= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/**
 * The result of a request, once its transaction is complete.
 * @template Result
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<Result>} work
 * @returns {Promise<Result>}
 */
async function transact(mode, work) {
  const transaction = (await open()).transaction(STORE, mode);
  const request = work(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}

/**
 * The session; null for none.
 * @returns {Promise<Session | null>}
 */
export async function read() {
  return (await transact("readonly", (store) => store.get(KEY))) ?? null;
}

/**
 * Replaces the session; null ends it.
 * @param {Session | null} session
 */
export async function write(session) {
  await transact(
    "readwrite",
    (store) => /** @type {IDBRequest} */ (session === null ? store.delete(KEY) : store.put(session, KEY)),
  );
  channel().postMessage("changed");
}

/**
 * Calls `onChange` after another window has written.
 * @param {() => void} onChange
 */
export function watchStore(onChange) {
  channel().onmessage = onChange;
}
