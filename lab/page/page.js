"use strict";

// The lab's page: it asks for the whole state twice a second and shows it. What the server says only ever becomes text
// nodes. Nodes are rebuilt only when what they show has changed, so that focus, selection and scrolling survive.

const EVERY = 500;
const PATIENCE = 5000;
const SECONDS = 90;
const SHARE_SECONDS = 5;
const CHART = { width: 900, height: 200 };
const NEAR = 30;

const EMOJI = {
  arrows_counterclockwise: "🔄", bell: "🔔", checkered_flag: "🏁", construction: "🚧",
  double_vertical_bar: "⏸️", eyes: "👀", fire: "🔥", hammer_and_wrench: "🛠️", heavy_check_mark: "✔️",
  hourglass: "⌛", hourglass_flowing_sand: "⏳", information_source: "ℹ️", large_blue_circle: "🔵",
  large_green_circle: "🟢", leftwards_arrow_with_hook: "↩️", lock: "🔒", no_entry: "⛔", package: "📦",
  red_circle: "🔴", rewind: "⏪", rocket: "🚀", rotating_light: "🚨", snowflake: "❄️", stopwatch: "⏱️",
  tada: "🎉", unlock: "🔓", warning: "⚠️", white_check_mark: "✅", white_circle: "⚪", x: "❌",
};

const view = { state: null, person: null, tab: "channel", homeOf: null, thread: null, holding: false, asking: 0 };

// ---------------------------------------------------------------------------------------------------- small helpers

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Setting the same text again would drop what the reader has selected.
function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

const counted = (number, one, many) => `${number} ${number === 1 ? one : many}`;

const inOrder = (a, b) => a.localeCompare(b, undefined, { numeric: true });

const clockTime = (epoch) => new Date(epoch * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

// ------------------------------------------------------------------------------------- lists that change in place

const shown = new WeakMap();

// Each item is {key, sign, build}: a node is built again only when its sign differs from the one it was built for.
function reconcile(parent, items) {
  const before = shown.get(parent) || new Map();
  const after = new Map();
  for (const item of items) after.set(item.key, renewed(before.get(item.key), item));
  for (const [key, old] of before) if (after.get(key)?.node !== old.node) drop(old, after.get(key));
  let place = parent.firstChild;
  for (const { node } of after.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  shown.set(parent, after);
}

function renewed(old, { sign, build }) {
  return old && old.sign === sign ? old : { sign, node: build() };
}

function drop(old, successor) {
  const action = old.node.contains(document.activeElement) && document.activeElement.dataset.actionId;
  if (!successor) return old.node.remove();
  old.node.replaceWith(successor.node);
  if (action) successor.node.querySelector(`[data-action-id="${CSS.escape(action)}"]`)?.focus({ preventScroll: true });
}

// ------------------------------------------------------------------------------------------------------------ people

const personOf = (id) => view.state.people.find((person) => person.id === id);

function nameOf(id) {
  return id === view.state.bot.id ? view.state.bot.name : personOf(id)?.name || id;
}

function channelName(id) {
  return id === view.state.channel.id ? view.state.channel.name : id;
}

// ------------------------------------------------------------------------------------------------------------ mrkdwn

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };

const decoded = (text) => text.replace(/&(?:amp|lt|gt);/g, (entity) => ENTITIES[entity]);

const withEmoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (code, name) => EMOJI[name] || code);

// One alternative each: <reference>, `code`, *bold*, _italic_, ~strike~. A mark counts only at the edge of a word, and
// what it spans may hold references and code whole, so that a mark inside them does not end it.
const INLINE = new RegExp(
  ["<([^<>\\n]+)>", "`([^`\\n]+)`", ...["*", "_", "~"].map(spanned)].join("|"), "g");

function spanned(mark) {
  const inside = `(?:<[^<>\\n]*>|\`[^\`\\n]*\`|[^${mark}\\n<\`])+?`;
  return `(?<![\\w${mark}])\\${mark}(?=\\S)(${inside})(?<=\\S)\\${mark}(?![\\w${mark}])`;
}

function inline(text) {
  const made = document.createDocumentFragment();
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    made.append(withEmoji(decoded(text.slice(end, found.index))), styled(found));
    end = found.index + found[0].length;
  }
  made.append(withEmoji(decoded(text.slice(end))));
  return made;
}

function styled([, reference, code, bold, italic, strike]) {
  if (reference !== undefined) return referred(reference);
  if (code !== undefined) return element("code", {}, verbatim(code));
  if (bold !== undefined) return element("strong", {}, inline(bold));
  if (italic !== undefined) return element("em", {}, inline(italic));
  return element("s", {}, inline(strike));
}

// In code no mark counts, but a reference does.
function verbatim(text) {
  const made = document.createDocumentFragment();
  text.split(/<([^<>\n]+)>/).forEach((part, index) => made.append(index % 2 ? referred(part) : decoded(part)));
  return made;
}

function referred(reference) {
  const bar = reference.indexOf("|");
  const target = bar < 0 ? reference : reference.slice(0, bar);
  const label = bar < 0 ? "" : decoded(reference.slice(bar + 1));
  const mentioned = (text) => element("span", { class: "mention" }, text);
  if (target.startsWith("@")) return mentioned(`@${nameOf(target.slice(1))}`);
  if (target.startsWith("#")) return mentioned(`#${label || channelName(target.slice(1))}`);
  if (target.startsWith("!date^")) return dated(target, label);
  if (target.startsWith("!")) return mentioned(label || `@${target.slice(1).split("^")[0]}`);
  // Brackets that enclose neither are words that somebody forgot to escape: they are shown as they came.
  return isAddress(decoded(target)) ? link(decoded(target), label || decoded(target)) : `<${decoded(reference)}>`;
}

// Only addresses that cannot run anything become links.
const isAddress = (text) => /^(https?:\/\/|mailto:)/i.test(text);

function link(address, label, attributes = {}) {
  if (!isAddress(address)) return element("span", attributes, label);
  return element("a", { ...attributes, href: address, target: "_blank", rel: "noopener noreferrer" }, label);
}

function dated(target, fallback) {
  const [, epoch, format, address] = target.split("^");
  const moment = Number(epoch);
  if (!epoch || !format || !Number.isFinite(moment)) return document.createTextNode(fallback);
  const stamp = element("time", { "data-epoch": epoch, "data-format": decoded(format), title: fullDate(moment) });
  stamp.textContent = formatted(moment, decoded(format));
  return address ? link(decoded(address), stamp) : stamp;
}

const fullDate = (epoch) => new Date(epoch * 1000).toLocaleString();

function formatted(epoch, format) {
  const long = { year: "numeric", month: "long", day: "numeric" };
  const day = (options) => new Date(epoch * 1000).toLocaleDateString([], options);
  const words = {
    date_num: () => new Date(epoch * 1000).toLocaleDateString("sv"),
    date: () => day(long),
    date_short: () => day({ ...long, month: "short" }),
    date_long: () => day({ ...long, weekday: "long" }),
    time: () => clockTime(epoch),
    time_secs: () => new Date(epoch * 1000).toLocaleTimeString(),
    ago: () => ago(view.state.now - epoch),
  };
  return format.replace(/\{(\w+?)(_pretty)?\}/g, (whole, name, pretty) => {
    return (pretty && nearDay(epoch)) || (Object.hasOwn(words, name) ? words[name]() : whole);
  });
}

function nearDay(epoch) {
  const midnight = (seconds) => new Date(seconds * 1000).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(epoch) - midnight(view.state.now)) / 86400000);
  return { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days];
}

function ago(seconds) {
  const size = Math.abs(seconds);
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, length] = units.find(([, each]) => size >= each) || units[3];
  const words = counted(Math.floor(size / length), unit, `${unit}s`);
  return seconds < 0 ? `in ${words}` : `${words} ago`;
}

// Some dates read "2 minutes ago": they grow old although their message does not change.
function refreshDates() {
  for (const stamp of document.querySelectorAll("time[data-format*='ago'], time[data-format*='pretty']")) {
    setText(stamp, formatted(Number(stamp.dataset.epoch), stamp.dataset.format));
  }
}

function mrkdwn(text) {
  const made = document.createDocumentFragment();
  const parts = text.split(/\n?```\n?([\s\S]*?)\n?```\n?/);
  parts.forEach((part, index) => {
    if (index % 2) made.append(element("pre", {}, verbatim(part)));
    else if (part) made.append(...prose(part));
  });
  return made;
}

// Lines keep their breaks by the style sheet (pre-wrap); lines of one quote are put together.
function prose(text) {
  const runs = [];
  for (const line of text.split("\n")) {
    const quote = line.match(/^(?:>|&gt;) ?(.*)$/);
    const last = runs.at(-1);
    if (last && last.quoted === Boolean(quote)) last.lines.push(quote ? quote[1] : line);
    else runs.push({ quoted: Boolean(quote), lines: [quote ? quote[1] : line] });
  }
  return runs.map(({ quoted, lines }) => {
    const words = inline(lines.join("\n"));
    return quoted ? element("blockquote", {}, words) : words;
  });
}

function textOf({ type, text }) {
  return type === "mrkdwn" ? mrkdwn(text) : document.createTextNode(withEmoji(text));
}

// --------------------------------------------------------------------------------------------------------- Block Kit

// `ts` says which message the blocks belong to; those of the App Home belong to none.
function blocksOf(blocks, ts) {
  return blocks.map((block) => (BLOCKS[block.type] || unknownBlock)(block, ts));
}

const BLOCKS = {
  header: (block) => element("h4", { class: "block header" }, textOf(block.text)),
  divider: () => element("hr", { class: "block" }),
  section: sectionBlock,
  context: (block) => element("div", { class: "block context" }, ...block.elements.map(contextElement)),
  actions: actionsBlock,
};

function unknownBlock(block) {
  return element("p", { class: "block hint" }, `(a block of type ${block.type}, which this page does not show)`);
}

function actionsBlock(block, ts) {
  return element("div", { class: "block actions" }, ...block.elements.map((each) => blockElement(each, block, ts)));
}

function sectionBlock(block, ts) {
  const words = element("div", { class: "words" });
  if (block.text) words.append(element("div", { class: "text" }, textOf(block.text)));
  if (block.fields) words.append(element("div", { class: "fields" }, ...block.fields.map(field)));
  const accessory = block.accessory ? blockElement(block.accessory, block, ts) : null;
  return element("div", { class: "block section" }, words, accessory);
}

const field = (object) => element("div", { class: "text" }, textOf(object));

function contextElement(each) {
  if (each.type === "image") return element("span", { class: "text" }, each.alt_text);
  return element("span", { class: "text" }, textOf(each));
}

function blockElement(each, block, ts) {
  if (each.type !== "button") return element("span", { class: "hint" }, `(${each.type}: not shown here)`);
  const attributes = {
    class: `button ${each.style || ""}`.trim(),
    "data-action-id": each.action_id,
    "aria-label": each.accessibility_label,
  };
  if (each.url) return link(each.url, withEmoji(each.text.text), attributes);
  const made = element("button", { ...attributes, type: "button" }, withEmoji(each.text.text));
  made.addEventListener("click", () => pressed(made, each, block, ts));
  return made;
}

async function pressed(button, each, block, ts) {
  if (button.getAttribute("aria-busy") === "true") return;
  const pushed = { block_id: block.block_id ?? null, action_id: each.action_id, value: each.value ?? null };
  const press = { user: view.person, ts, ...pushed };
  if (each.confirm && !(await confirmed(each.confirm))) return;
  button.setAttribute("aria-busy", "true");
  await post("/press", press);
  button.removeAttribute("aria-busy");
}

function confirmed({ title, text, confirm, deny, style }) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = withEmoji(title.text);
  byId("confirm-text").replaceChildren(textOf(text));
  byId("confirm-yes").textContent = withEmoji(confirm.text);
  byId("confirm-no").textContent = withEmoji(deny.text);
  byId("confirm-yes").className = `button ${style === "danger" ? "danger" : "primary"}`;
  // Escape leaves the old value standing, which may be the "yes" of an earlier question.
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

// ---------------------------------------------------------------------------------------------------------- messages

const isReply = (message) => Boolean(message.thread_ts) && message.thread_ts !== message.ts;

const isVisible = (message) => !message.ephemeral || message.ephemeral === view.person;

function visibleMessages() {
  return view.state.messages.filter(isVisible).sort((a, b) => Number(a.ts) - Number(b.ts));
}

function showMessages() {
  const all = visibleMessages();
  const inChannel = all.filter((message) => !isReply(message) || message.broadcast);
  const items = inChannel.map((message) => item(message, repliesTo(all, message), true));
  showList(byId("channel"), items.length ? items : [{ key: "start", sign: "", build: startNode }]);
  showThread(all);
}

const repliesTo = (all, message) => all.filter((other) => isReply(other) && other.thread_ts === message.ts);

function showThread(all) {
  byId("thread").hidden = view.thread === null;
  if (view.thread === null) return;
  const messages = all.filter((message) => message.ts === view.thread || message.thread_ts === view.thread);
  showList(byId("replies"), messages.map((message) => item(message, [], false)));
}

// What an empty channel says: the three things to do, in the order in which they become possible.
function startNode() {
  const step = (...parts) => element("li", {}, ...parts);
  const name = (words) => element("b", {}, words);
  const typed = (words) => element("code", {}, words);
  const steps = element("ol", {},
    step("Press ", name("Release a good version"), ". Its card comes into this channel, and shows each phase."),
    step("While both versions serve, press ", name("Promote"), " on the card, or type ", typed("/promote"), "."),
    step("While the old servers wait, type ", typed("/rollback"), ": the old version serves again."));
  const more = element("p", { class: "hint" }, "A faulty version is rolled back without you. As guest you may do nothing.");
  return element("div", { class: "start text", "data-testid": "start" }, element("h3", {}, "Nothing is released yet"), steps, more);
}

function item(message, replies, inChannel) {
  const sign = JSON.stringify([message, replies.map((reply) => reply.ts), view.state.people, view.state.bot]);
  return { key: message.ts + (message.ephemeral || ""), sign, build: () => messageNode(message, replies, inChannel) };
}

function messageNode(message, replies, inChannel) {
  const body = element("div", { class: "body" }, ...notesOf(message, inChannel), byline(message), content(message));
  if (replies.length) body.append(repliesButton(message.ts, replies));
  const kind = message.ephemeral ? "message ephemeral" : "message";
  const hooks = { "data-testid": "message", "data-ts": message.ts };
  return element("article", { class: kind, ...hooks }, avatar(message.user), body);
}

function notesOf(message, inChannel) {
  const notes = [];
  if (message.ephemeral) notes.push(element("p", { class: "note" }, "Only visible to you"));
  if (inChannel && isReply(message)) {
    const opener = element("button", { type: "button", class: "opener" }, "replied in thread");
    opener.addEventListener("click", () => openThread(message.thread_ts));
    notes.push(element("p", { class: "note" }, opener));
  }
  return notes;
}

function byline(message) {
  const app = message.user === view.state.bot.id ? element("span", { class: "badge" }, "app") : null;
  const epoch = Number(message.ts);
  const when = element("time", { title: fullDate(epoch) }, clockTime(epoch));
  const edited = message.edited ? element("span", { class: "edited" }, "(edited)") : null;
  return element("p", { class: "byline" }, element("b", {}, nameOf(message.user)), app, when, edited);
}

function content(message) {
  if (message.blocks?.length) return element("div", { class: "blocks" }, ...blocksOf(message.blocks, message.ts));
  return element("div", { class: "text" }, mrkdwn(message.text));
}

function avatar(user) {
  if (user === view.state.bot.id) return element("span", { class: "avatar bot", "aria-hidden": "true" });
  const place = view.state.people.findIndex((person) => person.id === user);
  return element("span", { class: `avatar hue-${(place + 4) % 4}`, "aria-hidden": "true" }, initials(nameOf(user)));
}

const initials = (name) => name.split(/\s+/).slice(0, 2).map((word) => word[0]).join("").toUpperCase();

function repliesButton(ts, replies) {
  const label = element("b", {}, counted(replies.length, "reply", "replies"));
  const last = element("span", {}, `last at ${clockTime(Number(replies.at(-1).ts))}`);
  const made = element("button", { type: "button", class: "replies", "data-testid": "replies" }, label, last);
  made.addEventListener("click", () => openThread(ts));
  return made;
}

function openThread(ts) {
  view.thread = ts;
  pins.set(byId("replies"), true);
  show();
}

function closeThread() {
  view.thread = null;
  show();
}

// Lists that stay at their newest message, until the reader scrolls up.
const pins = new Map();

function pin(list) {
  pins.set(list, true);
  list.addEventListener("scroll", () => {
    pins.set(list, list.scrollHeight - list.scrollTop - list.clientHeight < NEAR);
    if (list === byId("channel") && pins.get(list)) byId("newer").hidden = true;
  });
  new ResizeObserver(() => toEnd(list)).observe(list);
}

function toEnd(list) {
  if (pins.get(list)) list.scrollTop = list.scrollHeight;
}

function showList(list, items) {
  const newest = list.lastElementChild?.dataset.ts || "";
  reconcile(list, items);
  toEnd(list);
  const isNewer = (list.lastElementChild?.dataset.ts || "") > newest;
  if (list === byId("channel") && isNewer && !pins.get(list)) byId("newer").hidden = false;
}

function toNewest() {
  pins.set(byId("channel"), true);
  byId("newer").hidden = true;
  toEnd(byId("channel"));
}

// -------------------------------------------------------------------------------------------------------------- home

// Slack draws a Home when it is opened: here it is opened again when the story goes on, as a person would do.
function reopenHome() {
  if (view.tab !== "home" || !view.person || view.homeOf === view.state.story) return;
  view.homeOf = view.state.story;
  post("/home", { user: view.person });
}

function showHome() {
  const blocks = view.state.home?.[view.person] || [];
  const empty = () => element("p", { class: "hint" }, "Nothing here yet.");
  const build = () => element("div", { class: "blocks" }, ...(blocks.length ? blocksOf(blocks, null) : [empty()]));
  reconcile(byId("pane-home"), [{ key: view.person, sign: JSON.stringify(blocks), build }]);
}

function chooseTab(tab) {
  view.tab = tab;
  view.homeOf = null;
  showTabs();
  if (view.state) reopenHome();
}

function showTabs() {
  for (const tab of ["channel", "home"]) {
    byId(`tab-${tab}`).setAttribute("aria-selected", String(tab === view.tab));
    byId(`pane-${tab}`).hidden = tab !== view.tab;
  }
}

// ----------------------------------------------------------------------------------------------------------- colours

// A version has the colour of its group's role; the server keeps which one it had in each second.
const colourOf = (version) => view.state.traffic.colours[version] || "grey";

// ------------------------------------------------------------------------------------------------------------- fleet

function showFleet() {
  const { fleet } = view.state;
  const items = fleet.map((group) => ({
    key: group.name,
    sign: JSON.stringify([group.role, group.instances.length, group.instances[0]?.version]),
    build: () => groupNode(group),
  }));
  if (!fleet.length) items.push({ key: "", sign: "", build: () => element("p", { class: "hint" }, "No group yet.") });
  reconcile(byId("fleet"), items);
  for (const group of fleet) showTiles(group);
}

const groupColour = (group) => group.role || colourOf(group.instances[0]?.version);

function groupNode(group) {
  const role = group.role ? element("b", { class: "role" }, group.role) : null;
  const size = element("span", { class: "size" }, counted(group.instances.length, "instance", "instances"));
  const title = element("h3", {}, role, element("span", { class: "name" }, group.name), size);
  const hooks = { "data-group": group.name, "data-role": group.role };
  return element("div", { class: `group ${groupColour(group)}`, ...hooks }, title, element("ul", { class: "tiles" }));
}

function showTiles(group) {
  const node = shown.get(byId("fleet")).get(group.name).node;
  reconcile(node.querySelector(".tiles"), group.instances.map((instance) => ({
    key: instance.id,
    sign: JSON.stringify([instance.version, instance.state]),
    build: () => tileNode(instance),
  })));
  for (const instance of group.instances) describe(instance, node);
}

function tileNode({ id, version, state }) {
  const face = element("span", { class: "face" }, version);
  const words = element("span", { class: "state" }, state);
  const hooks = { "data-instance": id, "data-version": version, "data-state": state };
  return element("li", { class: `tile ${state}`, ...hooks }, face, words);
}

// The count grows all the time: only the words change, the tile stays.
function describe({ id, version, state, requests }, group) {
  const tile = group.querySelector(`[data-instance="${CSS.escape(id)}"]`);
  const words = `${id}: version ${version}, ${state}, ${counted(requests ?? 0, "request", "requests")}`;
  if (tile.title === words) return;
  tile.title = words;
  tile.setAttribute("aria-label", words);
}

// ----------------------------------------------------------------------------------------------------------- traffic

function showTraffic() {
  const { traffic, now } = view.state;
  setText(byId("requests"), traffic.total);
  setText(byId("failed"), traffic.failed);
  byId("failing").classList.toggle("bad", traffic.failed > 0);
  // The second that is under way is not whole yet, and would look like a dip.
  const end = Math.floor(now);
  const seconds = traffic.seconds.filter(({ at }) => at < end && at >= end - SECONDS);
  const versions = [...new Set(seconds.flatMap((second) => Object.keys(second.versions)))].sort(inOrder);
  showChart(seconds, versions, end - SECONDS);
  showShares(seconds.filter(({ at }) => at >= end - SHARE_SECONDS), versions);
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

const height = (second) => sum(Object.values(second.versions)) + second.failed;

// The top of the scale is 1, 2 or 5 times a power of ten, so that it does not change with every second.
function roundedUp(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 10)));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= most);
}

function showChart(seconds, versions, start) {
  const top = roundedUp(Math.max(10, ...seconds.map(height)));
  const floors = new Map(seconds.map(({ at }) => [at, 0]));
  const stack = (colour, amountOf) => layer(seconds, start, top, floors, colour, amountOf);
  const layers = versions.flatMap((version) =>
    ["grey", "blue", "green"].map((colour) =>
      stack(colour, (second) => (second.colours[version] === colour ? second.versions[version] : 0))));
  // One failed request among hundreds must still be seen: it is drawn no lower than this.
  const least = top * 0.04;
  layers.push(stack("failed", ({ failed }) => failed && Math.max(failed, least)));
  byId("chart").replaceChildren(gridLine(0.5), ...layers, gridLine(0), gridLine(1));
  setText(byId("scale"), `${top}/s`);
}

function layer(seconds, start, top, floors, colour, amountOf) {
  const step = CHART.width / SECONDS;
  const bars = seconds.map((second) => {
    const amount = amountOf(second);
    const floor = floors.get(second.at);
    floors.set(second.at, floor + amount);
    return amount ? bar((second.at - start) * step, step - 1.5, floor / top, (floor + amount) / top) : "";
  });
  return drawn("path", { class: `layer ${colour}`, d: bars.join("") });
}

function bar(left, width, from, to) {
  const y = (part) => (CHART.height * (1 - Math.min(part, 1))).toFixed(1);
  return `M${left.toFixed(1)} ${y(from)}V${y(to)}h${width}V${y(from)}Z`;
}

function gridLine(part) {
  const y = CHART.height * (1 - part);
  return drawn("line", { class: "grid", x1: 0, x2: CHART.width, y1: y, y2: y });
}

function showShares(seconds, versions) {
  const amounts = versions.map((version) => sum(seconds.map((second) => second.versions[version] || 0)));
  const all = sum(amounts);
  reconcile(byId("shares"), versions.map((version, index) => {
    const share = all ? Math.round((100 * amounts[index]) / all) : 0;
    const rate = Math.round(amounts[index] / (seconds.length || 1));
    const sign = `${share} ${rate} ${colourOf(version)}`;
    return { key: version, sign, build: () => shareNode(version, share, rate) };
  }));
}

function shareNode(version, share, rate) {
  const swatch = element("i", { class: `swatch ${colourOf(version)}`, "aria-hidden": "true" });
  const parts = [`version ${version}`, element("b", {}, `${share} %`), element("span", {}, `${rate}/s`)];
  return element("li", { "data-version": version, "data-share": share }, swatch, ...parts);
}

// ---------------------------------------------------------------------------------------------------------- the rest

function showTop() {
  setText(byId("story"), view.state.story);
  setText(byId("service"), view.state.service);
  setText(byId("tab-channel"), `#${view.state.channel.name}`);
}

function showReleasing() {
  const { releasing } = view.state;
  byId("releasing").hidden = !releasing;
  for (const id of ["release-good", "release-ill"]) byId(id).disabled = releasing || view.asking > 0;
}

function showPeople() {
  const { people } = view.state;
  view.person ??= people[0]?.id ?? null;
  reconcile(byId("person"), people.map(({ id, name, role }) => ({
    key: id,
    sign: JSON.stringify([name, role]),
    build: () => element("option", { value: id, selected: id === view.person }, role ? `${name} (${role})` : name),
  })));
}

function show() {
  // A button that is exchanged between the press and the release of the mouse would lose its click.
  if (!view.state || view.holding) return;
  showTop();
  showPeople();
  showFleet();
  showTraffic();
  showReleasing();
  showMessages();
  reopenHome();
  showHome();
  refreshDates();
}

function hold(holding) {
  view.holding = holding;
  // After the click that follows, not before it.
  if (!holding) setTimeout(show);
}

// -------------------------------------------------------------------------------------------------------- the server

async function poll() {
  let heard = false;
  try {
    const answer = await fetch("/state", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    heard = answer.ok;
    if (heard) view.state = await answer.json();
  } catch {
    heard = false;
  }
  byId("lost").hidden = heard;
  // The next question waits for this answer, and is asked even if this one could not be shown.
  setTimeout(poll, EVERY);
  if (heard) show();
}

async function post(path, body) {
  const trouble = await troubleOf(path, body);
  setText(byId("error"), trouble);
  byId("error").hidden = !trouble;
  return !trouble;
}

async function troubleOf(path, body) {
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.ok ? "" : await said(answer);
  } catch {
    return "The lab did not answer. Try again.";
  }
}

async function said(answer) {
  const told = await answer.json().catch(() => ({}));
  return told.error || `The lab answered ${answer.status}.`;
}

async function release(ill) {
  view.asking += 1;
  showReleasing();
  await post("/release", { ill });
  view.asking -= 1;
}

async function speak(event) {
  event.preventDefault();
  const box = byId("say");
  const text = box.value.trim();
  if (!text || !view.person) return;
  box.value = "";
  chooseTab("channel");
  toNewest();
  // What was refused is given back to be mended, unless something new is being written already.
  if (!(await post("/command", { user: view.person, text })) && !box.value) box.value = text;
}

function choosePerson() {
  view.person = byId("person").value;
  show();
  if (view.tab === "home") chooseTab("home");
}

function start() {
  byId("release-good").addEventListener("click", () => release(false));
  byId("release-ill").addEventListener("click", () => release(true));
  byId("tab-channel").addEventListener("click", () => chooseTab("channel"));
  byId("tab-home").addEventListener("click", () => chooseTab("home"));
  byId("thread-close").addEventListener("click", closeThread);
  byId("newer").addEventListener("click", toNewest);
  byId("composer").addEventListener("submit", speak);
  byId("person").addEventListener("change", choosePerson);
  document.addEventListener("pointerdown", ({ target }) => hold(Boolean(target.closest("button, a"))));
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => hold(false));
  window.addEventListener("blur", () => hold(false));
  [byId("channel"), byId("replies")].forEach(pin);
  poll();
}

start();
