/** Characters and words of the protocol as numbers, words as their bytes lie in memory. */

export const TAB: u32 = 0x09;
export const LINE_FEED: u32 = 0x0a;
export const CARRIAGE_RETURN: u32 = 0x0d;
export const SPACE: u32 = 0x20;
export const MINUS: u32 = 0x2d;
export const ZERO: u32 = 0x30;

export const PB: u32 = 0x4250;
/** `PX` and a space: three bytes, which PX_MASK leaves of four. */
export const PX_: u32 = 0x20_5850;
export const PX_MASK: u32 = 0xff_ffff;

// The longest lines of the shapes that the loops know, with their LF.

/** `PX dddd dddd rrggbbaa`. */
export const SET_BYTES_MAX: usize = 22;
/** `PX dddd dddd gg`. */
export const GREY_BYTES_MAX: usize = 16;
/** `PX dddd dddd`. */
export const GET_BYTES_MAX: usize = 13;
