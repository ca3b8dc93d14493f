// A gRPC client on xDS in Node, told by JSON lines what to call; the commands and answers are those of
// tests/support/programs/caller.py, and each command names its target: {"do": "call", "target": "xds:///user", "times": 3}.
//
//   node client.mjs DESCRIPTORS
//
// DESCRIPTORS is a file with the contracts as a FileDescriptorSet: messages are built from it, so no code is generated.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import grpc from "@grpc/grpc-js";
import xds from "@grpc/grpc-js-xds";
import loader from "@grpc/proto-loader";

const SERVICE = "demo.calculator.v1.Calculator";
const DEFAULTS = {
  method: "Add",
  times: 1,
  workers: 1,
  timeout: 10,
  pause: 0.002,
  metadata: {},
  wait_for_ready: false,
};

xds.register();
const [, , descriptors] = process.argv;
const Calculator = loader.loadFileDescriptorSetFromBuffer(readFileSync(descriptors))[SERVICE];
const Stub = grpc.makeGenericClientConstructor(Calculator, SERVICE);
const stubs = new Map();
const background = { outcomes: [], workers: [], stopping: false };

const monotonic = () => Number(process.hrtime.bigint()) / 1e9;

function stub(target) {
  if (!stubs.has(target)) stubs.set(target, new Stub(target, grpc.credentials.createInsecure()));
  return stubs.get(target);
}

// Returns [code, instance, version, seconds, message, began].
function one(asked) {
  const metadata = new grpc.Metadata({ waitForReady: asked.wait_for_ready });
  for (const [key, value] of Object.entries(asked.metadata)) metadata.set(key, value);
  const began = monotonic();
  const options = asked.timeout > 0 ? { deadline: Date.now() + asked.timeout * 1000 } : {};
  return new Promise((resolve) => {
    let ended;
    const call = stub(asked.target)[asked.method]({ a: 1, b: 2 }, metadata, options, (error) => {
      ended = error;
    });
    call.on("status", (status) => {
      const seen = (key) => status.metadata.get(key)[0] ?? "";
      const message = ended ? ended.details : "";
      const seconds = monotonic() - began;
      resolve([
        grpc.status[status.code],
        seen("meshwright-instance"),
        seen("meshwright-version"),
        seconds,
        message,
        began,
      ]);
    });
  });
}

async function many(asked) {
  const outcomes = [];
  let left = asked.times;
  const worker = async () => {
    while (left-- > 0) outcomes.push(await one(asked));
  };
  await Promise.all(Array.from({ length: asked.workers }, worker));
  return outcomes;
}

function start(asked) {
  background.outcomes = [];
  background.stopping = false;
  const worker = async () => {
    while (!background.stopping) {
      background.outcomes.push(await one(asked));
      await pause(asked.pause * 1000);
    }
  };
  background.workers = Array.from({ length: asked.workers }, worker);
}

async function obey(asked) {
  switch (asked.do) {
    case "call":
      return { outcomes: await many(asked) };
    case "start":
      start(asked);
      return {};
    case "count":
      return { count: background.outcomes.length };
    case "stop":
      background.stopping = true;
      await Promise.all(background.workers);
      return { outcomes: background.outcomes };
    default:
      throw new Error(`unknown command ${asked.do}`);
  }
}

const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
const answer = (content) => process.stdout.write(`${JSON.stringify(content)}\n`);
answer({
  version: `grpc-js ${version("@grpc/grpc-js")}, grpc-js-xds ${version("@grpc/grpc-js-xds")}, node ${process.versions.node}`,
});
for await (const line of createInterface({ input: process.stdin }))
  answer(await obey({ ...DEFAULTS, ...JSON.parse(line) }));
process.exit(0);
