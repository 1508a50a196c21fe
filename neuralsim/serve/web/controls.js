// Keys, gamepad and touch as one self-contained message: Driving in neuralsim/serve/page_messages.py.

const HEARTBEAT = 100;  // ms
const DEAD_ZONE = 0.06;
const BUTTONS = { 1: "reverse", 2: "autopilot", 3: "weather", 8: "respawn" };  // of the standard gamepad mapping
const START = 9;

const deadZone = (value) => {
  const size = (Math.abs(value) - DEAD_ZONE) / (1 - DEAD_ZONE);
  return size <= 0 ? 0 : Math.min(size, 1) * Math.sign(value);
};
const rounded = (value) => Math.round(value * 200) / 200;

export class Controls {
  // `act(action)` carries out actions of the page itself; `send(message)` goes to the server
  constructor(act, send) {
    Object.assign(this, { act, send, actions: {}, held: new Map(), pressed: {}, buttons: [], touch: null, pad: null });
    this.horn = new Horn();
    this.number = 0;
    this.waiting = [];  // [number, ms] of controls that no image contains yet
    this.latencies = [];  // recent ones, ms
    this.fresh = [];      // those not reported yet
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    setInterval(() => this.sendState(), HEARTBEAT);
    addEventListener("gamepadconnected", () => this.pollGamepad());
  }

  begin() {
    this.number = 0;
    this.waiting = [];
    this.pressed = {};
    this.held.clear();
  }

  key(event, down) {
    if (event.target?.tagName === "INPUT" || event.altKey || event.metaKey) return;
    if (event.ctrlKey) {
      if (down && event.key.toLowerCase() === "s") { event.preventDefault(); this.act("screenshot"); }
      return;
    }
    if (!down) {
      if (this.held.delete(event.code)) this.changed();
      this.updateHorn();
      return;
    }
    if (/^[1-6]$/.test(event.key)) { this.act(`view ${event.key}`); return; }
    const action = this.actions[event.key.toLowerCase()];
    if (!action || action === "fullscreen") return;
    event.preventDefault();
    const isHeld = this.isHeld(action);
    // a key still held after losing the focus or the server is pressed again by its repetition
    if (event.repeat && (!isHeld || this.held.has(event.code)) || this.act(action)) return;
    if (isHeld) {
      this.held.set(event.code, action);
      this.changed();
      if (action === "horn") this.horn.on();
    } else {
      this.press(action);
    }
  }

  isHeld(action) {
    return ["throttle", "brake", "left", "right", "hand_brake", "horn"].includes(action) || action.startsWith("look ");
  }

  press(command) {
    this.pressed[command] = (this.pressed[command] ?? 0) + 1;
    this.changed();
  }

  release() {
    if (!this.held.size && !this.touch) return;
    this.held.clear();
    this.touch = null;
    this.updateHorn();
    this.changed();
  }

  updateHorn() {
    if (![...this.held.values()].includes("horn")) this.horn.off();
  }

  // Sets the state of the touch controls, {steer, throttle, brake}, null for none.
  touched(state) {
    this.touch = state;
    this.changed();
  }

  // Polls the gamepad at each screen refresh while one is connected; without one, polling would waste CPU time.
  pollGamepad() {
    if (this.isPolling) return;
    this.isPolling = true;
    const poll = () => { if (this.isPolling = this.poll()) requestAnimationFrame(poll); };
    poll();
  }

  poll() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((each) => each?.connected && each.axes.length);
    if (!pad) { this.pad = null; this.changed(); return false; }
    const value = (n) => pad.buttons[n]?.value ?? 0;
    const now = {
      steer: rounded(deadZone(pad.axes[0])), throttle: rounded(value(7)), brake: rounded(value(6)), hand_brake: value(0) > 0.5,
    };
    pad.buttons.forEach((button, n) => {
      if (button.pressed && !this.buttons[n]) {
        if (BUTTONS[n]) this.press(BUTTONS[n]);
        if (n === START) this.act("menu");
      }
      this.buttons[n] = button.pressed;
    });
    const moved = !this.pad || Object.keys(now).some((name) => now[name] !== this.pad[name]);
    this.pad = now;
    if (moved) this.changed();
    return true;
  }

  changed() {
    this.sendState();
    this.waiting.push([this.number, performance.now()]);
    if (this.waiting.length > 256) this.waiting.shift();
  }

  sendState() {
    const message = { t: "drive", n: ++this.number, held: [...new Set(this.held.values())], pressed: this.pressed };
    const analogue = this.touch ?? this.pad;
    this.send(analogue ? { ...message, analogue: true, ...analogue } : message);
  }

  // Takes note that an image with this control number (24 bits) was displayed at `time`, ms.
  presented(control, time) {
    while (this.waiting.length && ((control - this.waiting[0][0]) & 0xffffff) < 0x800000) {
      const latency = time - this.waiting.shift()[1];
      if (latency < 5000) { this.latencies.push(latency); this.fresh.push(latency); }
    }
    for (const [values, most] of [[this.latencies, 200], [this.fresh, 1000]]) values.splice(0, values.length - most);
  }
}

// The horn: two tones, as in cars.
class Horn {
  on() {
    const context = this.context ??= new AudioContext();
    if (this.voices) return;
    const gain = new GainNode(context, { gain: 0.08 });
    gain.connect(context.destination);
    this.voices = [415, 523].map((frequency) => new OscillatorNode(context, { type: "sawtooth", frequency }));
    for (const voice of this.voices) { voice.connect(gain); voice.start(); }
  }

  off() {
    for (const voice of this.voices ?? []) voice.stop();
    this.voices = null;
  }
}

// Touch controls: a steering pad and two pedals.
export class Touch {
  constructor(controls, elements) {
    this.controls = controls;
    this.state = { steer: 0, throttle: 0, brake: 0 };
    this.fingers = new Map();
    for (const [name, element] of Object.entries(elements)) {
      element.addEventListener("pointerdown", (event) => { element.setPointerCapture(event.pointerId); this.move(name, element, event); });
      element.addEventListener("pointermove", (event) => this.fingers.has(event.pointerId) && this.move(name, element, event));
      for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => this.lift(name, element, event));
    }
    this.elements = elements;
  }

  move(name, element, event) {
    this.fingers.set(event.pointerId, name);
    const box = element.getBoundingClientRect();
    if (name === "steer") {
      const at = (event.clientX - box.left) / box.width * 2 - 1;
      const wide = Math.max(-1, Math.min(1, at * 1.15));
      this.set(name, Math.sign(wide) * Math.abs(wide) ** 1.6, wide);  // gentle in the middle
    } else {
      this.set(name, Math.max(0.15, Math.min(1, 1.15 - (event.clientY - box.top) / box.height)));
    }
  }

  lift(name, element, event) {
    this.fingers.delete(event.pointerId);
    this.set(name, 0);
  }

  set(name, value, shown = value) {
    this.state[name] = rounded(value);
    const element = this.elements[name];
    if (name === "steer") element.firstElementChild.style.left = `${50 + shown * 38}%`;
    else element.style.setProperty("--pressed", value);
    const some = this.fingers.size > 0 || Object.values(this.state).some((each) => each !== 0);
    this.controls.touched(some ? { hand_brake: false, ...this.state } : null);
  }
}
