// The head-up display over the picture.

const KMH = 3.6, MPH = 2.2369363;
const byId = (id) => document.getElementById(id);
const row = (name, value) => {
  const line = document.createElement("tr");
  for (const text of [name, value]) line.insertCell().textContent = text;
  return line;
};

// Sets a text only if it has changed, to avoid layout work.
function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

export function percentile(values, share) {
  if (!values.length) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)];
}

export class Hud {
  constructor() {
    this.full = false;
    this.visible = true;
    this.status = {};
    this.ego = {};
    this.shown = [];    // display times of recent images, ms
    this.rendered = [];  // of the rendered frames among them
    this.last = -1;
    this.seen = 0;      // number of displayed images, and of rendered frames among them
    this.seenRendered = 0;
    this.badges = "";
  }

  toggle() { this.visible = !this.visible; byId("hud").classList.toggle("bare", !this.visible); }
  toggleFull() { this.full = !this.full; this.draw(); }

  // Takes note that an image was displayed at `time`, ms.
  presented(stamp, time) {
    this.seen++;
    this.shown.push(time);
    if (stamp && stamp.rendered !== this.last) { this.last = stamp.rendered; this.seenRendered++; this.rendered.push(time); }
    for (const times of [this.shown, this.rendered]) while (times.length && time - times[0] > 2000) times.shift();
  }

  rate(times) {
    return times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : 0;
  }

  hud(message) {
    this.ego = message;
    const factor = this.status.units === "mph" ? MPH : KMH;
    byId("instruments").hidden = false;
    setText("speed", Math.abs(message.speed * factor).toFixed(0));
    setText("gear", message.gear < 0 ? "R" : message.gear === 0 ? "N" : `D${message.gear}`);
    byId("gear").classList.toggle("back", message.gear < 0);
    setText("unit", this.status.units ?? "km/h");
    byId("throttle").style.transform = `scaleX(${message.throttle})`;
    byId("brake").style.transform = `scaleX(${message.hand_brake ? 1 : message.brake})`;
    byId("steer").style.transform = `scaleX(${message.steer / 2})`;
    if (message.autopilot !== this.autopilot || message.collisions !== this.collisions) {
      this.autopilot = message.autopilot;
      this.collisions = message.collisions;
      this.drawBadges();
    }
  }

  setStatus(status, role) {
    this.status = status;
    this.role = role;
    this.drawBadges();
    this.drawTask();
    byId("record").classList.toggle("on", status.recording !== null);
    document.querySelector("[data-press=autopilot]").classList.toggle("on", Boolean(this.autopilot));
    document.querySelector("[data-press=reverse]").classList.toggle("on", status.reverse);
  }

  drawBadges() {
    const { status, ego, role } = this, list = [];
    if (status.recording !== null && status.recording !== undefined) {
      const seconds = String(status.recording % 60).padStart(2, "0");
      list.push([`REC ${String(Math.floor(status.recording / 60)).padStart(2, "0")}:${seconds}`, "red"]);
    }
    if (status.paused) list.push(["PAUSED", "amber"]);
    if (role?.watching) list.push([role.watching, "soft"]);
    if (ego.autopilot) list.push(["AUTOPILOT", "blue"]);
    if (status.reverse) list.push(["REVERSE", "amber"]);
    if (ego.collisions) list.push([`${ego.collisions} COLLISION${ego.collisions > 1 ? "S" : ""}`, "soft"]);
    const badges = JSON.stringify(list);
    if (badges === this.badges) return;
    this.badges = badges;
    byId("badges").replaceChildren(...list.map(([text, kind]) => {
      const badge = document.createElement("span");
      badge.className = `badge ${kind}`;
      badge.textContent = text;
      return badge;
    }));
  }

  // How a task stands, or its result.
  drawTask() {
    const { task, card } = this.status;
    byId("task").hidden = !task || Boolean(card);
    if (task) setText("task", task);
    const shown = JSON.stringify(card ?? null);
    if (shown === this.card) return;
    this.card = shown;
    byId("card").hidden = !card;
    if (!card) return;
    const heading = document.createElement("h2");
    heading.textContent = card.title;
    byId("card").replaceChildren(heading, ...[...card.lines, card.keys].map((text) => {
      const line = document.createElement("p");
      line.textContent = text;
      return line;
    }));
  }

  // Draws frame rate and latency, with all metrics in the detailed HUD.
  draw(latencies = [], transport = "", detail = "") {
    const { status } = this, box = byId("measure");
    const median = latencies.length ? `${percentile(latencies, 0.5).toFixed(0)} ms` : "– ms";
    if (!this.full) {
      const more = document.createElement("em");
      more.textContent = median;
      more.title = "Input latency, median";
      box.replaceChildren(`${this.rate(this.shown).toFixed(0)} FPS`, more);
      byId("place").hidden = true;
      return;
    }
    const table = document.createElement("table");
    const encoders = Object.entries(status.encoder ?? {}).map(([name, ms]) => `${name} ${ms} ms`).join(", ");
    table.append(
      row("displayed / rendered", `${this.rate(this.shown).toFixed(0)} / ${this.rate(this.rendered).toFixed(0)} FPS`),
      row("input latency", latencies.length ? `${median}, p95 ${percentile(latencies, 0.95).toFixed(0)}` : "–"),
      row("simulator to encoder", `${status.latency} ms, p95 ${status.latency_p95}`),
      ...Object.entries(status.stages ?? {}).map(([name, ms]) => row(name, `${ms} ms`)),
      row("late warp", status.late_warp ? `${status.late_warp_ms} ms each` : "off"),
      row("encoder", encoders || "–"),
      row("transport", `${transport}, ${detail}`),
      row("pages", status.pages ?? 0),
    );
    box.replaceChildren(table);
    const lines = [status.title, [status.model, status.runtime].filter(Boolean).join("  |  "), status.place, status.appearance];
    byId("place").hidden = false;
    byId("place").replaceChildren(...lines.filter(Boolean).map((text, n) => {
      const line = document.createElement(n ? "div" : "b");
      line.textContent = text;
      return line;
    }));
    if (status.warning) {
      const warning = document.createElement("div");
      warning.className = "warn";
      warning.textContent = status.warning;
      byId("place").append(warning);
    }
  }

  notify(text) {
    const box = byId("notices");
    const notice = document.createElement("div");
    notice.className = "notice";
    notice.textContent = text;
    notice.addEventListener("animationend", () => notice.remove());
    for (const old of [...box.children]) if (old.textContent === text || box.children.length > 2) old.remove();
    box.append(notice);
  }

  shake() {
    const frame = byId("frame");
    frame.classList.remove("shake");
    requestAnimationFrame(() => frame.classList.add("shake"));
  }
}
