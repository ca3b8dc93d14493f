// One trace: its head, its waterfall, and the details of a span.

import { get, live } from "./api.js";
import { announce, copyButton, h } from "./dom.js";
import { ago, duration, hue, moment, plural } from "./format.js";
import { inspect } from "./inspector.js";
import { minimap } from "./minimap.js";
import { findSpans, makeTree, visibleSpans } from "./tree.js";
import { Waterfall } from "./waterfall.js";

export function traceView(main, id, parameters, context) {
  const view = new TraceView(main, id, parameters.get("uiFind") ?? "", context);
  view.load();
  return { key: (event, typing) => view.key(event, typing), leave: () => view.leave() };
}

class TraceView {
  constructor(main, id, wanted, context) {
    Object.assign(this, { main, id, wanted, context, tree: null, matches: [], gone: false, busy: false });
    document.title = "Trace · Traces";
    main.append(h("p", { class: "loading" }, "Loading the trace…"));
  }

  async load() {
    try {
      const [trace] = await get(`/api/traces/${encodeURIComponent(this.id)}`);
      if (this.gone) return;
      this.show(makeTree(trace));
      live.listen(() => this.refresh());
    } catch (error) {
      const absent = error.status === 404;
      this.main.replaceChildren(h("div", { class: "empty" },
        h("h1", { class: "empty-title" }, absent ? "This trace is not in the store." : "The trace cannot be shown."),
        h("p", {}, absent ? "It may not have arrived yet, or the store has let it go for newer ones." : error.message),
        h("p", {}, h("a", { href: this.context.lastSearch }, "Back to the search"))));
    }
  }

  /** Takes in spans that have come since, and keeps what is folded, found and open. */
  async refresh() {
    if (this.busy) return;
    this.busy = true;
    try {
      const [trace] = await get(`/api/traces/${encodeURIComponent(this.id)}`);
      if (this.gone || trace.spans.length === this.tree.ordered.length) return;
      const { folded, active, opened, range, element } = this.fall;
      const focused = [element, this.find].indexOf(document.activeElement);
      const place = [scrollX, scrollY];
      this.wanted = this.find.value;
      this.leaveParts();
      this.show(makeTree(trace), { folded, active: active?.id, opened, range });
      scrollTo(...place);
      [this.fall.element, this.find][focused]?.focus({ preventScroll: true });
    } catch {
      // The next change tries again.
    } finally {
      this.busy = false;
    }
  }

  show(tree, kept = {}) {
    this.tree = tree;
    const root = tree.roots[0];
    document.title = `${root.service} ${root.name} · Traces`;
    for (const service of [...tree.services.keys()].sort()) hue(service);
    this.fall = new Waterfall(tree, {
      onOpen: (span) => (this.fall.opened === span.id ? this.close() : this.open(span)),
      onFold: (span) => this.fold(span),
      onActive: () => {},
    });
    if (kept.folded) this.fall.folded = kept.folded;
    this.map = minimap(tree, (range) => { this.fall.range = range; this.fall.redraw(); });
    this.inspector = h("aside", { class: "inspector", "aria-label": "Span details", hidden: true });
    this.main.replaceChildren(this.head(root), this.tools(), this.map.element,
      h("div", { class: "stage" }, this.fall.element, this.inspector));
    this.fall.active = tree.spans.get(kept.active) ?? null;
    this.layout();
    this.search(this.wanted, { jump: !kept.folded && Boolean(this.wanted) });
    if (kept.opened && tree.spans.has(kept.opened)) this.open(tree.spans.get(kept.opened));
    if (kept.range) this.map.set(kept.range);
  }

  head(root) {
    const { tree } = this;
    const facts = [
      ["Started", moment(tree.start), ago(tree.start)],
      ["Duration", duration(tree.duration)],
      ["Spans", tree.ordered.length.toLocaleString()],
      ["Depth", String(tree.depth)],
      ["Errors", tree.errors.toLocaleString(), "", tree.errors ? "bad" : ""],
    ];
    return h("div", { class: "trace-head" },
      h("p", { class: "crumb" }, h("a", { href: this.context.lastSearch }, "‹ Search"),
        h("span", { class: "mono" }, tree.id, copyButton(tree.id, "the trace id"))),
      h("h1", {}, h("span", { class: "service", style: { "--hue": hue(root.service) } }, root.service), " ", root.name),
      tree.roots.length > 1 || root.parentId
        ? h("p", { class: "warning" }, `${plural(tree.roots.filter((span) => span.parentId).length, "span")} whose parent is not in the store: the trace is not complete.`)
        : null,
      h("dl", { class: "trace-facts" }, facts.map(([name, value, more, mood]) =>
        h("div", { class: mood }, h("dt", {}, name), h("dd", {}, value, more ? h("span", { class: "more" }, ` ${more}`) : null)))),
      h("ul", { class: "legend", "aria-label": "Services" }, [...tree.services].sort().map(([name, count]) =>
        h("li", { class: "chip", style: { "--hue": hue(name) } }, name, h("span", { class: "number" }, String(count))))));
  }

  tools() {
    this.find = h("input", { type: "search", placeholder: "Find in this trace", "aria-label": "Find in this trace", "data-find": true,
      value: this.wanted, autocomplete: "off", spellcheck: "false" });
    this.found = h("output", { class: "found" });
    this.find.addEventListener("input", () => this.search(this.find.value, { jump: true }));
    const step = (label, sign, by) => h("button", { type: "button", class: "plain", "aria-label": label, title: label, onclick: () => this.nextMatch(by) }, sign);
    const foldAll = h("button", { type: "button", class: "plain", onclick: () => { this.fall.folded = new Set(this.tree.ordered.filter((span) => span.children.length && span.depth > 0).map((span) => span.id)); this.layout(); } }, "Fold all");
    const unfoldAll = h("button", { type: "button", class: "plain", onclick: () => { this.fall.folded.clear(); this.layout(); } }, "Unfold all");
    const errors = this.tree.errors
      ? h("button", { type: "button", class: "plain bad", title: "Next error (e)", onclick: () => this.nextError() }, "Next error") : null;
    return h("div", { class: "tools", role: "toolbar", "aria-label": "Trace tools" },
      h("div", { class: "finder" }, this.find, this.found, step("Previous match", "‹", -1), step("Next match", "›", 1)),
      h("div", { class: "tool-buttons" }, errors, foldAll, unfoldAll));
  }

  layout() {
    this.fall.show(visibleSpans(this.tree, this.fall.folded));
  }

  fold(span, folded = !this.fall.folded.has(span.id)) {
    if (folded) this.fall.folded.add(span.id);
    else this.fall.folded.delete(span.id);
    this.layout();
    this.fall.activate(span);
  }

  /** Unfolds what hides the span, and makes it the current one. */
  reach(span) {
    for (let up = span.parent; up; up = up.parent) this.fall.folded.delete(up.id);
    this.layout();
    this.fall.activate(span);
  }

  open(span) {
    this.fall.opened = span.id;
    this.inspector.replaceChildren(inspect(span, this.tree, {
      onClose: () => this.close(),
      onSelect: (other) => { this.reach(other); this.open(other); },
    }));
    this.inspector.hidden = false;
    this.inspector.scrollTop = 0;
    this.main.classList.add("inspecting");
    this.fall.redraw();
    this.fall.reveal(span);
    announce(`Details of ${span.service} ${span.name}`);
  }

  close() {
    this.fall.opened = null;
    this.inspector.hidden = true;
    this.inspector.replaceChildren();
    this.main.classList.remove("inspecting");
    this.fall.redraw();
    this.fall.element.focus({ preventScroll: true });
  }

  search(text, { jump = false } = {}) {
    this.matches = findSpans(this.tree, text);
    this.fall.matches = new Set(this.matches.map((span) => span.id));
    this.found.textContent = text.trim() ? (this.matches.length ? `${this.matches.length} found` : "none") : "";
    this.found.classList.toggle("none", Boolean(text.trim()) && !this.matches.length);
    const address = `/trace/${encodeURIComponent(this.id)}${text.trim() ? `?uiFind=${encodeURIComponent(text.trim())}` : ""}`;
    this.context.note(address);
    if (jump && this.matches.length) this.reach(this.matches[0]);
    else this.fall.redraw();
  }

  nextMatch(by) {
    this.step(this.matches, by, (at) => (this.found.textContent = `${at + 1} of ${this.matches.length}`));
  }

  nextError() {
    this.step(this.tree.ordered.filter((span) => span.failed), 1, () => {});
  }

  /** Goes to the next of `spans` after the current one, in the order of the tree. */
  step(spans, by, told) {
    if (!spans.length) return;
    const now = this.fall.active ? this.tree.ordered.indexOf(this.fall.active) : -1;
    const places = spans.map((span) => this.tree.ordered.indexOf(span));
    let at = by > 0 ? places.findIndex((place) => place > now) : places.findLastIndex((place) => place < now);
    if (at < 0) at = by > 0 ? 0 : spans.length - 1;
    if (document.activeElement !== this.find) this.fall.element.focus({ preventScroll: true });
    this.reach(spans[at]);
    told(at);
    if (this.fall.opened) this.open(spans[at]);
    announce(`${spans[at].service} ${spans[at].name}${spans[at].failed ? ", error" : ""}`);
  }

  key(event, typing) {
    if (!this.tree) return;
    if (typing) {
      if (event.target !== this.find) return;
      if (event.key === "Enter") { event.preventDefault(); this.nextMatch(event.shiftKey ? -1 : 1); }
      if (event.key === "Escape") { event.preventDefault(); this.find.value = ""; this.search(""); this.fall.element.focus({ preventScroll: true }); }
      if (event.key === "ArrowDown") { event.preventDefault(); this.fall.element.focus({ preventScroll: true }); }
      return;
    }
    if (event.target.closest?.("button, a, summary, dialog") && event.key !== "Escape") return;
    const move = this.moves()[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  moves() {
    const { fall } = this;
    const at = fall.active && fall.index.has(fall.active.id) ? fall.index.get(fall.active.id) : -1;
    const to = (place) => {
      const span = fall.rows[Math.min(Math.max(place, 0), fall.rows.length - 1)];
      fall.element.focus({ preventScroll: true });
      fall.activate(span);
      if (fall.opened && fall.opened !== span.id) this.open(span);
    };
    const span = fall.active;
    return {
      ArrowDown: () => to(at + 1),
      ArrowUp: () => to(at - 1),
      j: () => to(at + 1),
      k: () => to(at - 1),
      Home: () => to(0),
      End: () => to(fall.rows.length - 1),
      PageDown: () => to(at + 15),
      PageUp: () => to(at - 15),
      ArrowRight: () => span && (fall.folded.has(span.id) ? this.fold(span, false) : span.children.length && to(at + 1)),
      ArrowLeft: () => span && (span.children.length && !fall.folded.has(span.id) ? this.fold(span, true) : span.parent && this.reach(span.parent)),
      Enter: () => span && (fall.opened === span.id ? this.close() : this.open(span)),
      e: () => this.nextError(),
      Escape: () => this.escape(),
    };
  }

  escape() {
    if (this.fall.opened) this.close();
    else if (this.map.zoomed) this.map.set([0, 1]);
    else if (this.find.value) { this.find.value = ""; this.search(""); }
  }

  leaveParts() {
    this.fall?.leave();
    this.map?.leave();
  }

  leave() {
    this.gone = true;
    this.main.classList.remove("inspecting");
    this.leaveParts();
  }
}
