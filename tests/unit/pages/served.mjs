// Resolves imports of the pages' modules as their servers do: `shared/` is in the folder of each page.
// For `node --import`; Node loads this module a second time in the thread of the hooks.

import { register } from "node:module";
import { isMainThread } from "node:worker_threads";

const PAGES = new URL("../../../src/meshwright/pages/", import.meta.url);

/** @type {import("node:module").ResolveHook} */
export function resolve(specifier, context, next) {
  const shared = /^\.\.?\/(shared\/.*)$/.exec(specifier);
  return next(shared ? new URL(shared[1] ?? "", PAGES).href : specifier, context);
}

if (isMainThread) register(import.meta.url);
