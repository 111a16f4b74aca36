/** Options of the encoder, part of the server's configuration. */
import { choice, list } from "#common/options.ts";
import type { OptionSet } from "#common/options.ts";
import { readRendition, RENDITION_ALLOWED, type RenditionRequest, X264_PRESETS } from "./renditions.ts";

export const encodingOptions = {
  rendition: list<RenditionRequest>(
    {
      table: "server",
      description:
        "One size of the stream and its highest bit rate, such as 1280x720@6000, or 1280x720@6000:veryfast with a preset of its own. May be given several times; the first must have the full size of the canvas (odd sides rounded up) or a whole multiple of it. Whole multiples are enlarged without blur: for small canvases, whose single pixels keep their colour only so.",
      default: [],
      defaultText: "the canvas at 6000 kbit/s and half its size at 1500",
    },
    { allowed: RENDITION_ALLOWED, valueName: "<w>x<h>@<kbit/s>[:preset]", read: readRendition },
  ),
  "x264-preset": choice({
    table: "server",
    description:
      "How much work the encoder puts into each frame: slower ones look better at the same bit rate. For renditions without a preset of their own.",
    choices: X264_PRESETS,
    default: "superfast",
  }),
} satisfies OptionSet;
