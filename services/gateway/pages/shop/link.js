// Whether what is shown is live, in one word.

import { byId } from "./dom.js";

const WORDS = { off: "", connecting: "Connecting …", live: "Live", lost: "Reconnecting …" };

export function startLink(line) {
  const node = byId("link");
  const tell = (state) => {
    node.hidden = state === "off";
    node.textContent = WORDS[state];
    node.className = `link ${{ live: "good", lost: "warn" }[state] || ""}`;
  };
  line.onState(tell);
  tell(line.state);
}
