// Who is signed in. All windows of one browser share it, and each is told of a change.
//
// Access tokens live for minutes; they are renewed a little before they end, and when the gateway refuses one. A refresh
// token serves once, and one that is used twice ends the session. So windows take turns, by a lock that the browser
// keeps: who has it looks first whether another window has renewed the token already.

import { call, Problem } from "./api.js";
import { read, watchKept, write } from "./kept.js";

const LOCK = "meshwright.session.renewal";
const watchers = new Set();
const tokenWatchers = new Set();
let current = null;
let timer = 0;

async function keep(tokens, profile) {
  const lifetime = tokens.expires_in * 1000;
  const stored = {
    access: tokens.access_token,
    refresh: tokens.refresh_token,
    subject: tokens.subject,
    lifetime,
    expires: Date.now() + lifetime,
    profile,
  };
  await write(stored);
  changed(stored);
}

function changed(stored) {
  const before = current;
  current = stored;
  schedule();
  if (stored && before && before.access !== stored.access) for (const watcher of tokenWatchers) watcher(stored.access);
  if (before?.subject !== stored?.subject || before?.profile?.name !== stored?.profile?.name) {
    for (const watcher of watchers) watcher(stored);
  }
}

// A fifth of the time before the end, and at most half a minute: late enough to be rare, early enough for slow networks.
const renewalAt = (stored) => stored.expires - Math.min(30000, stored.lifetime / 5);

function schedule() {
  clearTimeout(timer);
  if (!current) return;
  const ms = Math.max(0, renewalAt(current) - Date.now()) + Math.random() * 500;
  timer = setTimeout(() => token().catch(() => { timer = setTimeout(schedule, 5000); }), ms);
}

const locked = (work) => (navigator.locks ? navigator.locks.request(LOCK, work) : work());

/** A token in place of `spent`; null if the session has ended. Rejects with a Problem if that is unknown. */
export function renew(spent) {
  return locked(async () => {
    const stored = await read();
    if (!stored) { changed(null); return null; }
    if (stored.access !== spent) { changed(stored); return stored.access; }
    try {
      const tokens = await call("POST", "/auth/refresh", { body: { refresh_token: stored.refresh }, anonymous: true });
      await keep(tokens, stored.profile);
      return tokens.access_token;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      await end();
      return null;
    }
  });
}

/** The current access token; null without a signed-in user. */
export async function token() {
  if (!current) return null;
  return Date.now() < renewalAt(current) ? current.access : renew(current.access);
}

async function end() {
  changed(null);
  await write(null);
}

async function enter(tokens) {
  const headers = { Authorization: `Bearer ${tokens.access_token}` };
  const user = await call("GET", `/api/v3/users/${tokens.subject}`, { anonymous: true, headers });
  await keep(tokens, { name: user.name, email: user.email });
}

export async function signUp(name, email, password) {
  await enter(await call("POST", "/auth/sign-up", { body: { name, email, password }, anonymous: true }));
}

export async function signIn(email, password) {
  await enter(await call("POST", "/auth/sign-in", { body: { email, password }, anonymous: true }));
}

/** Go to sign in at `login`, an issuer elsewhere; who is signed in already links the two. Comes back by `comeBack()`. */
export async function leaveFor(login) {
  const { authorization_url: there } = await call("POST", `/auth/social/${encodeURIComponent(login)}`, { anonymous: !current });
  location.assign(there);
}

/** Completes a social login if an issuer has redirected to the page. Rejects with a Problem. */
export async function comeBack() {
  const query = new URLSearchParams(location.search);
  const login = query.get("login");
  if (!login) return;
  query.delete("login");
  // What the code is for happens once; neither a reload nor a bookmark shall have it.
  history.replaceState(null, "", location.pathname + location.hash);
  await enter(await call("GET", `/auth/social/${encodeURIComponent(login)}/callback?${query}`, { anonymous: true }));
}

/** The session ends here in any case; where the gateway is away, there by itself after its time. */
export async function signOut() {
  changed(null);
  const stored = await locked(async () => {
    const last = await read();
    await end();
    return last;
  });
  if (stored) await call("POST", "/auth/sign-out", { body: { refresh_token: stored.refresh }, anonymous: true }).catch(() => {});
}

/** Calls `watcher` with the signed-in user (null: none), now and on each change. */
export function watchSession(watcher) {
  watchers.add(watcher);
  watcher(current);
}

/** `watcher(token)` is called when there is a new one in place of an old one. */
export function watchToken(watcher) { tokenWatchers.add(watcher); }

export const signedIn = () => current;

/** Who was signed in when the page was last here. */
export async function restore() {
  watchKept(async () => changed(await read()));
  changed(await read());
}
