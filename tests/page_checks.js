// What a page must hold to, asked of a browser: each function gives what does not.

// Words whose contrast with what is behind them is under 4.5 to 1 (WCAG 2.2, 1.4.3).
function faintWords() {
  const light = (text) => {
    const [r, g, b, a] = text.match(/[\d.]+/g).map(Number);
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r / 255, g / 255, b / 255].map(linear);
    return { value: 0.2126 * x + 0.7152 * y + 0.0722 * z, isClear: a === 0 };
  };
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (style.backgroundImage !== "none" || style.backgroundColor.startsWith("color")) return null;
      const found = light(style.backgroundColor);
      if (!found.isClear) return found.value;
    }
    return 1;
  };
  const found = [];
  for (const node of document.querySelectorAll("body *:not(script):not(style):not(svg *):not(.film *)")) {
    const isText = Array.from(node.childNodes).some((child) => child.nodeType === 3 && child.textContent.trim());
    const back = isText && node.checkVisibility() ? behind(node) : null;
    if (back === null) continue;
    const own = light(getComputedStyle(node).color).value;
    const ratio = (Math.max(own, back) + 0.05) / (Math.min(own, back) + 0.05);
    const words = node.textContent.trim().slice(0, 40);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${words}`);
  }
  return Array.from(new Set(found));
}

// What a screen reader stumbles over.
function brokenRules() {
  const wrong = [];
  const say = (rule, node) => wrong.push(`${rule}: ${node.outerHTML.slice(0, 120)}`);
  const every = (selector, isRight, rule) =>
    document.querySelectorAll(selector).forEach((node) => isRight(node) || say(rule, node));
  const ids = Array.from(document.querySelectorAll("[id]"), (node) => node.id);
  every("[id]", (node) => ids.indexOf(node.id) === ids.lastIndexOf(node.id), "an id twice");
  every("img", (node) => node.hasAttribute("alt"), "no alt");
  every("th", (node) => node.hasAttribute("scope"), "no scope");
  const isNamed = (node) => node.textContent.trim() || node.getAttribute("aria-label") || node.labels?.length;
  every("button, a[href], input, select, summary", isNamed, "no name");
  const isDrawing = (node) => node.getAttribute("role") === "img" && isNamed(node);
  every("svg", (node) => node.closest("[aria-hidden=true]") || isDrawing(node), "a drawing without a role and a name");
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    const leads = (node) => node.getAttribute(attribute).split(" ").every((id) => document.getElementById(id));
    every(`[${attribute}]`, leads, `${attribute} leads nowhere`);
  }
  every("a[href^='#']", (node) => document.getElementById(decodeURIComponent(node.hash.slice(1))), "leads nowhere");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  let last = 0;
  every("h1, h2, h3, h4, h5, h6", (node) => {
    const level = Number(node.tagName[1]);
    const isNext = level <= last + 1;
    last = level;
    return isNext;
  }, "a heading that skips a level");
  if (!document.documentElement.lang) wrong.push("no language");
  return wrong;
}

// Nodes and attributes that could run something or ask for something, and how many scripts and styles there are.
function executable() {
  const found = [];
  const tags = new Set(["iframe", "object", "embed", "base", "video", "audio", "template", "math", "use",
    "foreignobject", "form", "portal", "applet", "frame"]);
  const links = new Set(["href", "src", "action", "formaction", "xlink:href", "data", "srcset", "poster", "ping"]);
  const isOurs = /^(#|data:(image\/png;base64,|,$)|\.\.\/report\.html|report_cases\/\d+\.html#|\d+\.html$)/;
  document.querySelectorAll("*").forEach((node) => {
    const tag = node.localName;
    if (node.shadowRoot || (tags.has(tag) && !node.matches("form[data-filter]"))) found.push(tag);
    for (const { name, value } of node.attributes) {
      if (name.startsWith("on") || name === "srcdoc") found.push(`${tag} ${name}`);
      if (links.has(name) && !isOurs.test(value)) found.push(`${tag} ${name}=${value.slice(0, 80)}`);
      if (name === "style" && /url|expression|@import/.test(value)) found.push(`${tag} ${name}=${value.slice(0, 80)}`);
    }
  });
  return {
    found,
    scripts: document.scripts.length,
    styles: document.styleSheets.length,
    links: document.querySelectorAll("link").length,
  };
}
