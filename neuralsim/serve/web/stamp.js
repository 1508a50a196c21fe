// Reads the numbers in the strip of blocks above each image, written by neuralsim/serve/picture_stamp.py.

const LINES = 2, COLUMNS = 32, SIDE = 4;
export const ROWS = 16;

function checksum(data) {
  let crc = 0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x80) ? (crc << 1) ^ 0x07 : crc << 1) & 0xff;
  }
  return crc;
}

export class StampReader {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = COLUMNS * SIDE;
    this.canvas.height = LINES * SIDE;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  }

  // Returns {picture, control, rendered} of the current frame of `video`, null if it is unreadable.
  read(video) {
    const { width, height } = this.canvas;
    this.context.drawImage(video, 0, 0, video.videoWidth, ROWS, 0, 0, width, height);
    const pixels = this.context.getImageData(0, 0, width, height).data;
    const data = new Uint8Array(LINES * COLUMNS / 8);
    for (let n = 0; n < LINES * COLUMNS; n++) {
      const x = (n % COLUMNS) * SIDE + SIDE / 2, y = Math.floor(n / COLUMNS) * SIDE + SIDE / 2;
      let sum = 0;
      for (const [dx, dy] of [[-1, -1], [0, -1], [-1, 0], [0, 0]]) sum += pixels[4 * ((y + dy) * width + x + dx) + 1];
      if (sum > 4 * 125) data[n >> 3] |= 0x80 >> (n & 7);
    }
    if (checksum(data.subarray(0, 7)) !== data[7]) return null;
    const whole = (at) => (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
    return { picture: whole(0), control: whole(3), rendered: data[6] };
  }
}
