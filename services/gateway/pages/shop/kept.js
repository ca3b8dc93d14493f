// One value that all windows of a browser share, in IndexedDB. Not in localStorage: windows are processes of their own,
// and what one writes there another may read a moment later only, even where a lock makes them take turns. A transaction
// sees what was there when it began. Other windows are told of a change, and look.

const NAME = "meshwright";
const STORE = "kept";
const channel = new BroadcastChannel(NAME);
let opened = null;

function open() {
  opened ||= new Promise((done, failed) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
  return opened;
}

async function within(mode, work) {
  const transaction = (await open()).transaction(STORE, mode);
  const request = work(transaction.objectStore(STORE));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done(request.result);
    transaction.onerror = () => failed(transaction.error);
    transaction.onabort = () => failed(transaction.error);
  });
}

/** What is kept; null for nothing. */
export const read = async () => (await within("readonly", (store) => store.get("session"))) ?? null;

/** Keep this; null: nothing any more. */
export async function write(value) {
  await within("readwrite", (store) => (value === null ? store.delete("session") : store.put(value, "session")));
  channel.postMessage("changed");
}

/** `told()` is called after another window has written. */
export function watchKept(told) { channel.onmessage = told; }
