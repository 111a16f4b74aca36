/** The kinds of commands that the fast loops take: a colour of six digits, of eight, or a grey, and the next `PX ` at once behind it. */
import { shapeOf } from "./decode.ts";
import { TABLE_GREY_LENGTHS, TABLE_GREY_SHUFFLES, TABLE_LENGTHS, TABLE_SHUFFLES } from "./layout.ts";

/** What stands between the colours of two commands: LF and `PX `, perhaps with the alpha before it. */
const NEXT: u64 = 0x2058_500a;
const NEXT_MASK: u64 = 0xffff_ffff;
const OPAQUE_NEXT: u64 = 0x2058_500a_6666;
export const ALPHA_NEXT: u64 = 0x2058_500a_0000;
export const ALPHA_NEXT_MASK: u64 = 0xffff_ffff_0000;
const OPAQUE_NEXT_MASK: u64 = 0xffff_ffff_ffff;

// What kind of commands the present loop takes, by `readKind`: the tables for their colours, how they end, and the bytes of
// their alpha.
export let shuffles: usize = 0;
export let lengths: usize = 0;
export let ending: u64 = 0;
export let endingMask: u64 = 0;
export let alphaBytes: usize = 0;

/** Reads of which kind the command at `at` is. False where these loops take none such. */
export function readKind(at: usize): bool {
  const shape = <usize>shapeOf(v128.load(at, 3));
  shuffles = TABLE_SHUFFLES;
  lengths = TABLE_LENGTHS;
  const bytes = load<u64>(at + <usize>load<u8>(<usize>TABLE_LENGTHS + shape) - 1);
  if ((bytes & ALPHA_NEXT_MASK) === ALPHA_NEXT) {
    const isOpaque = (bytes & OPAQUE_NEXT_MASK) === OPAQUE_NEXT;
    ending = isOpaque ? OPAQUE_NEXT : ALPHA_NEXT;
    endingMask = isOpaque ? OPAQUE_NEXT_MASK : ALPHA_NEXT_MASK;
    alphaBytes = 2;
    return true;
  }
  ending = NEXT;
  endingMask = NEXT_MASK;
  alphaBytes = 0;
  if ((bytes & NEXT_MASK) === NEXT) return true;
  shuffles = TABLE_GREY_SHUFFLES;
  lengths = TABLE_GREY_LENGTHS;
  const greyBytes = load<u64>(at + <usize>load<u8>(<usize>TABLE_GREY_LENGTHS + shape) - 1);
  return (greyBytes & NEXT_MASK) === NEXT;
}
