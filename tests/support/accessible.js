() => {
  // Names of controls, headings, landmarks, references, sizes of targets, contrast. One finding, one line.
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility({ visibilityProperty: true }));
  const told = (node) => `<${node.tagName.toLowerCase()}${node.id ? ` id=${node.id}` : ""}> ${node.textContent.trim().slice(0, 40)}`;
  const ids = (node, attribute) => (node.getAttribute(attribute) || "").split(/\s+/).filter(Boolean);

  const nameOf = (node) => {
    const labelled = ids(node, "aria-labelledby").map((id) => document.getElementById(id)?.textContent || "").join(" ");
    const labels = [...(node.labels || [])].map((label) => label.textContent).join(" ");
    const images = [...node.querySelectorAll("img[alt]")].map((image) => image.alt).join(" ");
    return [labelled, node.getAttribute("aria-label"), labels, node.tagName === "INPUT" ? "" : node.textContent, images, node.title]
      .find((text) => text && text.trim()) || "";
  };

  for (const node of all("a[href], button, input, select, textarea, summary, [role=tab], [role=region]")) {
    if (!nameOf(node)) found.push(`no name: ${told(node)}`);
  }
  for (const image of all("img")) if (!image.hasAttribute("alt")) found.push(`no alt: ${image.src}`);
  for (const attribute of ["aria-controls", "aria-labelledby", "aria-describedby", "for"]) {
    for (const node of all(`[${attribute}]`)) {
      for (const id of ids(node, attribute)) if (!document.getElementById(id)) found.push(`${attribute}=${id} leads nowhere: ${told(node)}`);
    }
  }
  for (const node of all("li")) if (!node.closest("ul, ol")?.matches(":not([role]), [role=list]")) found.push(`in no list: ${told(node)}`);
  const known = new Set();
  for (const node of document.querySelectorAll("[id]")) {
    if (known.has(node.id)) found.push(`id twice: ${node.id}`);
    known.add(node.id);
  }

  const headings = all("h1, h2, h3, h4, h5, h6").map((node) => [Number(node.getAttribute("aria-level") || node.tagName[1]), node]);
  if (headings.filter(([level]) => level === 1).length !== 1) found.push(`h1: ${headings.filter(([level]) => level === 1).length}, not 1`);
  let before = 0;
  for (const [level, node] of headings) {
    if (level > before + 1 && before) found.push(`h${level} after h${before}: ${told(node)}`);
    before = level;
  }

  for (const selector of ["main", "header", "footer"]) {
    const places = `body > ${selector}, body > div > ${selector}, [role="${selector}"]`;
    if (all(places).length !== 1) found.push(`not one ${selector}`);
  }
  for (const node of all("nav, aside, section")) if (!nameOf({ ...node, getAttribute: (name) => node.getAttribute(name), querySelectorAll: () => [], tagName: "INPUT" })) found.push(`no name: ${told(node)}`);
  if (!document.documentElement.lang) found.push("no language");
  if (!document.title.trim()) found.push("no title");
  for (const node of all("[tabindex]")) if (node.tabIndex > 0) found.push(`tabindex ${node.tabIndex}: ${told(node)}`);
  for (const node of all("button, input:not(.hidden), select, textarea, nav a")) {
    const box = node.getBoundingClientRect();
    if (box.width < 24 || box.height < 24) found.push(`target of ${Math.round(box.width)} x ${Math.round(box.height)}: ${told(node)}`);
  }

  // Contrast (1.4.3): of each text with what is behind it, alpha included.
  const parse = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    return parts.length === 3 ? [...parts, 1] : parts;
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = (colour) => colour.slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || seen.has(node) || !node.checkVisibility({ visibilityProperty: true })) continue;
    seen.add(node);
    const style = getComputedStyle(node);
    const ground = behind(node);
    const [one, other] = [light(over(parse(style.color), ground)), light(ground)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${told(node)}`);
  }
  return found;
}
