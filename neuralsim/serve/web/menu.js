// The menu over a paused drive, and the help card.

const element = (tag, text = "", name = "") => Object.assign(document.createElement(tag), { textContent: text, className: name });

const PICTURE = "Place and picture", TASKS = "Something to do", COCKPIT = "Cockpit";

export class Menu {
  // `send(message)` goes to the server, `act(action)` is carried out by the page, `press(command)` presses a key
  constructor(box, send, act, press) {
    Object.assign(this, { box, send, act, press, choices: [], tasks: [], records: "", page: "", at: 0, items: [] });
  }

  get shown() { return !this.box.hidden; }

  toggle() { if (this.shown) this.close(); else this.open(); }

  open() {
    this.send({ t: "menu", shown: true });
    this.showPage("first");
  }

  close() {
    if (!this.shown) return;
    this.box.hidden = true;
    const applies = this.page === PICTURE;
    this.send({ t: applies ? "apply" : "menu", ...(applies ? {} : { shown: false }) });
  }

  showPage(page) {
    this.page = page;
    this.at = 0;
    this.draw();
  }

  setChoices({ items, tasks, records }) {
    Object.assign(this, { choices: items, tasks, records });
    if (this.shown) this.draw();
  }

  // Handles a key; returns whether the menu was open.
  key(key) {
    if (!this.shown) return false;
    const item = this.items[this.at];
    const moves = { ArrowUp: -1, w: -1, ArrowDown: 1, s: 1 }, changes = { ArrowLeft: -1, a: -1, ArrowRight: 1, d: 1 };
    if (key in moves) { this.at = (this.at + moves[key] + this.items.length) % this.items.length; this.draw(); }
    else if (key in changes) item?.change?.(changes[key]);
    else if (key === "Enter" || key === " ") (item?.act ?? (() => item?.change?.(1)))();
    else if (key === "Escape" || key === "Backspace") this.back();
    return true;
  }

  back() {
    if (this.page === PICTURE) { this.send({ t: "apply" }); this.page = ""; }
    this.close();
  }

  firstItems() {
    const then = (call) => () => { this.close(); call(); };
    return [
      { label: "Resume", act: () => this.close(), hint: "Also: Esc." },
      { label: "Map", act: then(() => this.act("map")), hint: "Click a destination for the autopilot. Also: M." },
      { label: PICTURE, act: () => this.showPage(PICTURE), hint: "Town, car, weather, traffic, model, quality; some restart the town when you leave the page." },
      { label: TASKS, act: () => this.showPage(TASKS), hint: "A place to reach, points for smooth driving, three lessons." },
      { label: COCKPIT, act: () => this.showPage(COCKPIT), hint: "Units, reversing view, late warp. Effective immediately." },
      { label: "Respawn", act: then(() => this.press("respawn")), hint: "Continue from another place, at a standstill." },
      { label: "Repair", act: then(() => this.press("repair")), hint: "Makes the car whole again, where it is. Also: Y." },
      { label: "Record", act: then(() => this.press("record")), hint: "Starts or stops recording MP4 and MCAP on the server. Also: R." },
      { label: "Screenshot", act: then(() => this.act("screenshot")), hint: "Saves the picture without the HUD. Also: Ctrl+S." },
      { label: "All keys", act: then(() => this.act("help")), hint: "Also: H, at any time." },
    ];
  }

  taskItems() {
    const items = this.tasks.map(({ command, label, hint }) => ({ label, hint, act: () => { this.close(); this.press(command); } }));
    return [...items, { label: "Records", value: this.records, hint: "For as long as the server runs." }];
  }

  choiceItems() {
    return this.choices.filter((choice) => choice.page === this.page).map((choice) => ({
      label: choice.label,
      value: choice.shown[choice.at],
      hint: choice.hint,
      picture: choice.picture,
      change: (by) => {
        const index = (choice.at + by + choice.shown.length) % choice.shown.length;
        this.send({ t: "choose", name: choice.name, index });
      },
    }));
  }

  draw() {
    this.items = this.page === "first" ? this.firstItems() : this.page === TASKS ? this.taskItems() : this.choiceItems();
    this.at = Math.min(this.at, this.items.length - 1);
    const list = element("ol");
    this.items.forEach((item, n) => {
      const line = element("li", item.label, n === this.at ? "on" : "");
      line.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.at !== n && this.point(n));
      line.addEventListener("click", () => { this.at = n; (item.act ?? (() => item.change?.(1)))(); });
      if (item.change) {
        const value = element("span");
        for (const [sign, by] of [["\u2039", -1], ["", 0], ["\u203a", 1]]) {
          if (!by) { value.append(item.value); continue; }
          const button = element("button", sign);
          button.addEventListener("click", (event) => { event.stopPropagation(); this.at = n; item.change(by); });
          value.append(button);
        }
        line.append(value);
      } else if (item.value) line.append(element("span", item.value));
      list.append(line);
    });
    const title = this.page === "first" ? "Paused" : this.page;
    this.foot = element("footer");
    this.explain();
    const top = this.box.querySelector("ol")?.scrollTop ?? 0;
    this.box.replaceChildren(element("h2", title), list, this.foot);
    this.box.hidden = false;
    list.scrollTop = top;
    list.children[this.at]?.scrollIntoView({ block: "nearest" });
  }

  point(n) {
    const lines = this.box.querySelectorAll("li");
    lines[this.at]?.classList.remove("on");
    lines[n]?.classList.add("on");
    this.at = n;
    this.explain();
  }

  explain() {
    const { hint = "", picture = "" } = this.items[this.at] ?? {};
    this.foot.replaceChildren(hint);
    if (!picture) return;
    const image = element("img");
    image.src = `data:image/jpeg;base64,${picture}`;
    image.alt = "";
    this.foot.append(image);
  }
}

export function drawKeys(box, groups) {
  box.replaceChildren(...groups.map(([title, rows]) => {
    const section = document.createElement("section");
    section.append(element("h2", title), ...rows.map(([keys, meaning]) => {
      const line = element("p"), caps = element("span");
      caps.append(...keys.map((key) => element("kbd", key)));
      line.append(caps, element("span", meaning));
      return line;
    }));
    return section;
  }));
}
