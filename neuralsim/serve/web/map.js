// The map in the corner, heading up, and the large one, north up, to click a destination.

const METRES = 130;  // width of the area of the small map
const PERIOD = 100;  // ms between two redraws: they take CPU time that the simulator may need
const ROAD = "#5c6674", CAR = "#fabc40", FOOT = "#7ad6ff", WAY = "#569cff", EGO = "#48cf8e", RED = "#ff5d5d", WHITE = "#f4f7fa";

export class Maps {
  // `go(place)` is called with the clicked destination in m, null to clear it
  constructor(small, large, go) {
    Object.assign(this, { small, large, go, chart: null, ego: null, traffic: [], route: [], left: 0, drawn: 0, boxes: [] });
    small.addEventListener("click", () => this.toggle());
    large.addEventListener("click", (event) => { const at = this.at; this.toggle(); if (at) this.go(this.place(at, event)); });
    large.addEventListener("contextmenu", (event) => { event.preventDefault(); this.toggle(); this.go(null); });
    addEventListener("resize", () => this.draw());
  }

  get open() { return !this.large.hidden; }

  toggle() {
    this.large.hidden = !this.large.hidden || !this.chart;
    this.draw();
  }

  setChart(chart) {
    this.chart = chart;
    this.small.hidden = false;
    this.boxes = chart.lines.map((line) => {
      const xs = line.filter((_, n) => n % 2 === 0), ys = line.filter((_, n) => n % 2);
      return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
    });
    const most = (name, pick) => pick(...this.boxes.map((box) => box[name]));
    this.box = { left: most("left", Math.min), right: most("right", Math.max), top: most("top", Math.min), bottom: most("bottom", Math.max) };
  }

  update(hud) {
    this.ego = hud;
    if (hud.traffic) { this.traffic = hud.traffic; this.route = hud.route; this.left = hud.route_left; }
    const now = performance.now();
    if (now - this.drawn < PERIOD) return;
    this.drawn = now;
    this.draw();
  }

  draw() {
    if (!this.chart || !this.ego) return;
    if (this.open) { this.drawLarge(); return; }
    const { context, width, height } = fitted(this.small);
    const scale = width / METRES;
    context.clearRect(0, 0, width, height);
    context.save();
    context.translate(width / 2, height * 0.64);
    context.scale(scale, scale);
    context.rotate(-this.ego.heading - Math.PI / 2);
    context.translate(-this.ego.x, -this.ego.y);
    const reach = METRES * 0.9, { x, y } = this.ego;
    this.drawRoads(context, (box) => box.left < x + reach && box.right > x - reach && box.top < y + reach && box.bottom > y - reach, 1 / scale);
    this.drawMovers(context, 1 / scale * width / 118);
    context.restore();
    north(context, width * 0.8, height * 0.2, width / 17, -this.ego.heading - Math.PI / 2);
    const way = document.getElementById("way");
    way.hidden = !(this.left > 0);
    way.textContent = this.left >= 950 ? `${(this.left / 1000).toFixed(1)} km` : `${this.left.toFixed(0)} m`;
  }

  drawLarge() {
    const { context, width, height, ratio } = fitted(this.large);
    const { left, top, right, bottom } = this.box, foot = 34 * ratio;
    const scale = Math.min(width / (right - left + 40), (height - foot) / (bottom - top + 40));
    const at = this.at = { scale, x: width / 2 - scale * (left + right) / 2, y: (height - foot) / 2 - scale * (top + bottom) / 2, ratio };
    context.clearRect(0, 0, width, height);
    context.setTransform(scale, 0, 0, scale, at.x, at.y);
    this.drawRoads(context, () => true, 1 / scale);
    this.drawMovers(context, 1.6 * ratio / scale);
    context.setTransform(1, 0, 0, 1, 0, 0);
    north(context, width - 30 * ratio, 30 * ratio, 10 * ratio, 0);
    context.fillStyle = "#b3bdca";
    context.font = `${14 * ratio}px system-ui, sans-serif`;
    context.fillText("Click to set a destination  |  Right click to clear it  |  M to close", 16 * ratio, height - 14 * ratio);
  }

  place(at, event) {
    const box = this.large.getBoundingClientRect();
    return [((event.clientX - box.left) * at.ratio - at.x) / at.scale, ((event.clientY - box.top) * at.ratio - at.y) / at.scale];
  }

  drawRoads(context, near, least) {
    context.strokeStyle = ROAD;
    context.lineCap = context.lineJoin = "round";
    this.chart.lines.forEach((line, number) => {
      if (!near(this.boxes[number])) return;
      context.lineWidth = Math.max(0.9 * this.chart.widths[number], least);
      context.beginPath();
      for (let n = 0; n < line.length; n += 2) context.lineTo(line[n], line[n + 1]);
      context.stroke();
    });
  }

  drawMovers(context, unit) {
    const { ego } = this;
    if (this.route.length > 1) {
      context.strokeStyle = WAY;
      context.lineWidth = 3 * unit;
      context.beginPath();
      this.route.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
      dot(context, this.route.at(-1), 5 * unit, RED);
      dot(context, this.route.at(-1), 2 * unit, WHITE);
    }
    for (const [x, y, , walks] of this.traffic) dot(context, [x, y], (walks ? 1.6 : 3) * unit, walks ? FOOT : CAR);
    context.save();
    context.translate(ego.x, ego.y);
    context.rotate(ego.heading + Math.PI / 2);
    context.scale(7 * unit, 7 * unit);
    context.beginPath();
    for (const [x, y] of [[0, -1], [0.72, 0.8], [0, 0.42], [-0.72, 0.8]]) context.lineTo(x, y);
    context.closePath();
    context.fillStyle = EGO;
    context.fill();
    context.restore();
  }
}

function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  return { context: canvas.getContext("2d"), width, height, ratio };
}

function dot(context, [x, y], radius, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

// Draws the north arrow; CARLA's y points south.
function north(context, x, y, size, turn) {
  context.save();
  context.translate(x, y);
  context.rotate(turn);
  context.fillStyle = CAR;
  context.beginPath();
  for (const [dx, dy] of [[0, -1], [0.6, 0.7], [-0.6, 0.7]]) context.lineTo(dx * size, dy * size);
  context.fill();
  context.fillStyle = WHITE;
  context.font = `600 ${1.5 * size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText("N", 0, -2.2 * size);
  context.restore();
}
