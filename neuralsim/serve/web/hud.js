// What the driver reads, over the picture.

const KMH = 3.6, MPH = 2.2369363;
const byId = (id) => document.getElementById(id);
const row = (name, value) => {
  const line = document.createElement("tr");
  for (const text of [name, value]) line.insertCell().textContent = text;
  return line;
};

// Only what has changed is laid out anew.
function written(id, text) {
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
    this.shown = [];    // ms of the newest pictures on the screen
    this.painted = [];  // of those that were painted, not moved
    this.last = -1;
    this.seen = 0;      // pictures so far, and painted ones among them
    this.seenPainted = 0;
    this.words = "";
  }

  toggle() { this.visible = !this.visible; byId("hud").classList.toggle("bare", !this.visible); }
  toggleFull() { this.full = !this.full; this.draw(); }

  // A picture is on the screen at `time`, ms.
  presented(stamp, time) {
    this.seen++;
    this.shown.push(time);
    if (stamp && stamp.painted !== this.last) { this.last = stamp.painted; this.seenPainted++; this.painted.push(time); }
    for (const times of [this.shown, this.painted]) while (times.length && time - times[0] > 2000) times.shift();
  }

  rate(times) {
    return times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : 0;
  }

  hud(message) {
    this.ego = message;
    const factor = this.status.units === "mph" ? MPH : KMH;
    byId("instruments").hidden = false;
    written("speed", Math.abs(message.speed * factor).toFixed(0));
    written("gear", message.gear < 0 ? "R" : message.gear === 0 ? "N" : `D${message.gear}`);
    byId("gear").classList.toggle("back", message.gear < 0);
    written("unit", this.status.units ?? "km/h");
    byId("throttle").style.transform = `scaleX(${message.throttle})`;
    byId("brake").style.transform = `scaleX(${message.hand_brake ? 1 : message.brake})`;
    byId("steer").style.transform = `scaleX(${message.steer / 2})`;
    if (message.autopilot !== this.autopilot || message.collisions !== this.collisions) {
      this.autopilot = message.autopilot;
      this.collisions = message.collisions;
      this.drawBadges();
    }
  }

  heard(status, role) {
    this.status = status;
    this.role = role;
    this.drawBadges();
    byId("record").classList.toggle("on", status.recording !== null);
    document.querySelector("[data-press=autopilot]").classList.toggle("on", Boolean(this.autopilot));
    document.querySelector("[data-press=reverse]").classList.toggle("on", status.reverse);
  }

  drawBadges() {
    const { status, ego, role } = this, found = [];
    if (status.recording !== null && status.recording !== undefined) {
      const seconds = String(status.recording % 60).padStart(2, "0");
      found.push([`REC ${String(Math.floor(status.recording / 60)).padStart(2, "0")}:${seconds}`, "red"]);
    }
    if (status.paused) found.push(["PAUSED", "amber"]);
    if (role?.watching) found.push([role.watching, "soft"]);
    if (ego.autopilot) found.push(["AUTOPILOT", "blue"]);
    if (status.reverse) found.push(["REVERSE", "amber"]);
    if (ego.collisions) found.push([`${ego.collisions} COLLISION${ego.collisions > 1 ? "S" : ""}`, "soft"]);
    const words = JSON.stringify(found);
    if (words === this.words) return;
    this.words = words;
    byId("badges").replaceChildren(...found.map(([text, kind]) => {
      const badge = document.createElement("span");
      badge.className = `badge ${kind}`;
      badge.textContent = text;
      return badge;
    }));
  }

  // Rate and latency; in full with all that is known.
  draw(latencies = [], transport = "", how = "") {
    const { status } = this, box = byId("measure");
    const words = latencies.length ? `${percentile(latencies, 0.5).toFixed(0)} ms` : "– ms";
    if (!this.full) {
      const more = document.createElement("em");
      more.textContent = words;
      more.title = "from key to picture, median";
      box.replaceChildren(`${this.rate(this.shown).toFixed(0)} FPS`, more);
      byId("place").hidden = true;
      return;
    }
    const table = document.createElement("table");
    const encoders = Object.entries(status.encoder ?? {}).map(([name, ms]) => `${name} ${ms} ms`).join(", ");
    table.append(
      row("shown / painted", `${this.rate(this.shown).toFixed(0)} / ${this.rate(this.painted).toFixed(0)} FPS`),
      row("key to picture", latencies.length ? `${words}, p95 ${percentile(latencies, 0.95).toFixed(0)}` : "–"),
      row("simulator to encoder", `${status.latency} ms, p95 ${status.latency_p95}`),
      ...Object.entries(status.stages ?? {}).map(([name, ms]) => row(name, `${ms} ms`)),
      row("late warp", status.late_warp ? `${status.late_warp_ms} ms each` : "off"),
      row("encoder", encoders || "–"),
      row("transport", `${transport}, ${how}`),
      row("pages", status.pages ?? 0),
    );
    box.replaceChildren(table);
    const lines = [status.title, [status.model, status.runtime].filter(Boolean).join("  |  "), status.place, status.painted];
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

  blow() {
    const frame = byId("frame");
    frame.classList.remove("blow");
    requestAnimationFrame(() => frame.classList.add("blow"));
  }
}
