/** Mixing a colour into a pixel by its alpha, exact to the bit; the parser's path for colours that are not opaque. */
import { OPAQUE } from "./framebuffer.ts";

/**
 * The canvas's word after `rgb` was laid over `below` with `alpha`: each channel is `floor((a*s + (255-a)*d) / 255)`,
 * so 0 leaves it, 255 covers it, and a colour over itself stays.
 *
 * @param rgb `r | g << 8 | b << 16`
 * @param below the canvas's word: r in its lowest byte, alpha 255
 * @param alpha 0 to 255
 */
export function blendPixel(rgb: number, below: number, alpha: number): number {
  const r = blendChannel(rgb & 0xff, below & 0xff, alpha);
  const g = blendChannel((rgb >>> 8) & 0xff, (below >>> 8) & 0xff, alpha);
  const b = blendChannel((rgb >>> 16) & 0xff, (below >>> 16) & 0xff, alpha);
  return (r | (g << 8) | (b << 16) | OPAQUE) >>> 0;
}

function blendChannel(source: number, below: number, alpha: number): number {
  // floor(t / 255) for t < 65,535, without a division.
  const next = alpha * source + (255 - alpha) * below + 1;
  return (next + (next >> 8)) >> 8;
}
