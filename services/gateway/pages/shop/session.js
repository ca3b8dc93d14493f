// The signed-in user. All windows of one browser share the session, and each hears of a change.
//
// Access tokens live for minutes; they are renewed a little before they expire, and when the gateway refuses one. A refresh
// token serves once, and one that is used twice ends the session. So windows take turns, by a lock that the browser
// keeps: the window that has it looks first whether another has renewed the token already.

import { call } from "./api.js";
import { read, watchStore, write } from "./session_store.js";
import { Problem } from "./shared/page.js";

/** @import { Tokens } from "./resources.js" */
/** @import { Session } from "./session_store.js" */

const LOCK = "meshwright.session.renewal";
const RETRY = 5000;
/** @type {Set<(session: Session | null) => void>} */
const watchers = new Set();
/** @type {Set<(token: string) => void>} */
const tokenWatchers = new Set();
/** @type {Session | null} */
let current = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * @param {Tokens} tokens
 * @param {Session["profile"]} profile
 */
async function keep(tokens, profile) {
  const lifetime = tokens.expires_in * 1000;
  /** @type {Session} */
  const session = {
    access: tokens.access_token,
    refresh: tokens.refresh_token,
    subject: tokens.subject,
    lifetime,
    expires: Date.now() + lifetime,
    profile,
  };
  await write(session);
  become(session);
}

/** @param {Session | null} session */
function become(session) {
  const before = current;
  current = session;
  schedule();
  if (session && before && before.access !== session.access)
    for (const watcher of tokenWatchers) watcher(session.access);
  if (before?.subject !== session?.subject || before?.profile?.name !== session?.profile?.name) {
    for (const watcher of watchers) watcher(session);
  }
}

/**
 * When to renew: a fifth of the lifetime before the end, and at most half a minute. Late enough to be rare, early enough
 * for slow networks.
 * @param {Pick<Session, "expires" | "lifetime">} session
 */
const renewalAt = (session) => session.expires - Math.min(30000, session.lifetime / 5);

function schedule() {
  clearTimeout(timer);
  if (!current) return;
  const ms = Math.max(0, renewalAt(current) - Date.now()) + Math.random() * 500;
  timer = setTimeout(
    () =>
      token().catch(() => {
        timer = setTimeout(schedule, RETRY);
      }),
    ms,
  );
}

/**
 * One window at a time; a page that is not from a secure origin has no locks.
 * @template Result
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
const locked = (work) => (navigator.locks ? navigator.locks.request(LOCK, work) : work());

/**
 * A token in place of `spent`; null if the session has ended. Rejects with a Problem if that is unknown.
 * @param {string} spent
 * @returns {Promise<string | null>}
 */
export function renew(spent) {
  return locked(async () => {
    const session = await read();
    if (!session || session.access !== spent) {
      become(session);
      return session?.access ?? null;
    }
    try {
      /** @type {Tokens} */
      const tokens = await call("POST", "/auth/refresh", { body: { refresh_token: session.refresh }, anonymous: true });
      await keep(tokens, session.profile);
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
  become(null);
  await write(null);
}

/** @param {Tokens} tokens */
async function enter(tokens) {
  const headers = { Authorization: `Bearer ${tokens.access_token}` };
  const user = await call("GET", `/api/v3/users/${tokens.subject}`, { anonymous: true, headers });
  await keep(tokens, { name: user.name, email: user.email });
}

/**
 * Creates an account and signs in. Rejects with a Problem.
 * @param {string} name
 * @param {string} email
 * @param {string} password
 */
export async function signUp(name, email, password) {
  await enter(await call("POST", "/auth/sign-up", { body: { name, email, password }, anonymous: true }));
}

/**
 * Signs in. Rejects with a Problem.
 * @param {string} email
 * @param {string} password
 */
export async function signIn(email, password) {
  await enter(await call("POST", "/auth/sign-in", { body: { email, password }, anonymous: true }));
}

/**
 * Leaves the page to sign in at another issuer, which links it to the signed-in user; `completeLogin` continues.
 * @param {string} login The issuer's name.
 */
export async function leaveFor(login) {
  const { authorization_url: address } = await call("POST", `/auth/social/${encodeURIComponent(login)}`, {
    anonymous: !current,
  });
  location.assign(address);
}

/** Completes a social login if an issuer has redirected to the page. Rejects with a Problem. */
export async function completeLogin() {
  const query = new URLSearchParams(location.search);
  const login = query.get("login");
  if (!login) return;
  query.delete("login");
  // A code serves once: neither a reload nor a bookmark may repeat it.
  history.replaceState(null, "", location.pathname + location.hash);
  await enter(await call("GET", `/auth/social/${encodeURIComponent(login)}/callback?${query}`, { anonymous: true }));
}

/** Ends the session here in any case; where the gateway is unavailable, its own ends after its time. */
export async function signOut() {
  become(null);
  const session = await locked(async () => {
    const last = await read();
    await end();
    return last;
  });
  if (session)
    await call("POST", "/auth/sign-out", { body: { refresh_token: session.refresh }, anonymous: true }).catch(() => {});
}

/**
 * Calls `watcher` with the session (null: none), now and on each change.
 * @param {(session: Session | null) => void} watcher
 */
export function watchSession(watcher) {
  watchers.add(watcher);
  watcher(current);
}

/**
 * Calls `watcher` when a token has been renewed.
 * @param {(token: string) => void} watcher
 */
export function watchToken(watcher) {
  tokenWatchers.add(watcher);
}

/** The session of the signed-in user; null for none. */
export const signedIn = () => current;

/** Takes up the session that the browser has kept. */
export async function restore() {
  watchStore(async () => become(await read()));
  become(await read());
}
