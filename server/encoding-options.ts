/** Options of the encoder, part of the server's configuration. */
import { choice, list } from "#common/options.ts";
import type { OptionSet } from "#common/options.ts";
import { readRendition, RENDITION_ALLOWED, type RenditionRequest } from "./renditions.ts";

/** x264's presets that keep up with a live canvas on a core or less. */
export const X264_PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] as const;
export type X264Preset = (typeof X264_PRESETS)[number];

export const encodingOptions = {
  rendition: list<RenditionRequest>(
    {
      table: "server",
      description:
        "One size of the stream and its highest bit rate, such as 1280x720@6000. May be given several times; the first must have the full size of the canvas (odd sides rounded up) or a whole multiple of it.",
      default: [],
      defaultText: "the canvas at 6000 kbit/s",
    },
    { allowed: RENDITION_ALLOWED, valueName: "<w>x<h>@<kbit/s>", read: readRendition },
  ),
  "x264-preset": choice({
    table: "server",
    description:
      "How much work the encoder puts into each frame: slower ones look better at the same bit rate.",
    choices: X264_PRESETS,
    default: "superfast",
  }),
} satisfies OptionSet;
