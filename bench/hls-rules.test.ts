/** Each rule finds the playlist that breaks it, and nothing in one that breaks none. */
import { describe, expect, test } from "bun:test";
import { readHlsDocument } from "./hls-document.ts";
import { checkMediaText, checkMultivariantText } from "./hls-rules.ts";
import { checkUpdate, hintedPart, partsAdded } from "./hls-updates.ts";

const GOOD = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.00000
#EXT-X-PART-INF:PART-TARGET=1.00000
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="a-init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:2.00000,
a-10.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z
#EXT-X-PART:DURATION=1.00000,URI="a-11.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="a-11.1.m4s"
#EXTINF:1.50000,
a-11.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="b-init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:09.500Z
#EXT-X-PART:DURATION=1.00000,URI="b-12.0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="b-12.1.m4s"
#EXT-X-RENDITION-REPORT:URI="../x/index.m3u8",LAST-MSN=12,LAST-PART=0
`;

function changed(from: string | RegExp, to: string): string {
  const text = GOOD.replace(from, to);
  expect(text).not.toBe(GOOD);
  return text;
}

const items = (findings: readonly { readonly item: number }[]): number[] => [
  ...new Set(findings.map(({ item }) => item)),
];

describe("checkMediaText()", () => {
  test("finds nothing in a right playlist, with either kind of line end", () => {
    expect(checkMediaText(readHlsDocument(GOOD))).toEqual([]);
    expect(checkMediaText(readHlsDocument(GOOD.replaceAll("\n", "\r\n")))).toEqual([]);
  });

  const rows: (readonly [number, string, string | RegExp, string])[] = [
    [1, "a byte order mark", "#EXTM3U", "\ufeff#EXTM3U"],
    [1, "mixed line ends", "VERSION:9\n", "VERSION:9\r\n"],
    [1, "an attribute twice", "TYPE=PART,", "TYPE=PART,TYPE=PART,"],
    [1, "white space in attributes", "TYPE=PART,URI", "TYPE=PART, URI"],
    [1, "an exponent", "PART-TARGET=1.00000", "PART-TARGET=1e0"],
    [2, "a name without extension", "a-10.m4s", "a-10"],
    [3, "two target durations", "#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n"],
    [4, "a low version", "VERSION:9", "VERSION:5"],
    [5, "a segment longer than the target", "#EXTINF:2.00000", "#EXTINF:2.60000"],
    [5, "a fraction as target", "TARGETDURATION:2", "TARGETDURATION:2.5"],
    [6, "few decimals", "#EXTINF:2.00000", "#EXTINF:2.00"],
    [7, "a playlist type", "#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-PLAYLIST-TYPE:EVENT\n"],
    [12, "no date", /#EXT-X-PROGRAM-DATE-TIME:.*02\.000Z\n/, ""],
    [12, "a date without zone", "00:00:02.000Z", "00:00:02.000"],
    [12, "a date that goes back", "00:00:09.500Z", "00:00:03.400Z"],
    [12, "a date that drifts", "00:00:02.000Z", "00:00:02.004Z"],
    [13, "a discontinuity without map", '#EXT-X-MAP:URI="b-init.mp4"\n', ""],
    [13, "no discontinuity sequence", "#EXT-X-DISCONTINUITY-SEQUENCE:3\n", ""],
    [19, "a part longer than its target", 'DURATION=1.00000,URI="b', 'DURATION=1.00001,URI="b'],
    [
      20,
      "a short part",
      'DURATION=1.00000,URI="b-12.0.m4s",INDEPENDENT=YES',
      'DURATION=0.8,URI="b-12.0.m4s"',
    ],
    [21, "a short hold-back", "PART-HOLD-BACK=3.00000", "PART-HOLD-BACK=2.50000"],
    [21, "a short skip boundary", "CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=11.9"],
    [22, "no independent part", 'a-11.0.m4s",INDEPENDENT=YES', 'a-11.0.m4s"'],
    [23, "a date behind a part", /(#EXT-X-PROGRAM.*02\.000Z\n)(#EXT-X-PART.*\n)/, "$2$1"],
    [25, "parts longer than their segment", "#EXTINF:1.50000", "#EXTINF:1.40000"],
    [26, "no hint", /#EXT-X-PRELOAD-HINT.*\n/, ""],
    [27, "an absolute report", "../x/index.m3u8", "/x/index.m3u8"],
    [
      28,
      "a segment not said to be whole",
      'b-12.0.m4s",INDEPENDENT=YES',
      'b-12.0.m4s",INDEPENDENT=YES\n#EXT-X-PART:DURATION=1.00000,URI="b-12.1.m4s"',
    ],
    [39, "a skip that was not offered", "#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-MAP"],
  ];
  test.each(rows)("%d: finds %s", (item, _, from, to) => {
    expect(items(checkMediaText(readHlsDocument(changed(from, to))))).toContain(item);
  });

  test("18: an ended playlist needs no hint and may have none", () => {
    const ended = changed(/#EXT-X-PRELOAD-HINT.*\n/, "#EXT-X-ENDLIST\n");
    expect(checkMediaText(readHlsDocument(ended))).toEqual([]);
    expect(items(checkMediaText(readHlsDocument(`${GOOD}#EXT-X-ENDLIST\n`)))).toEqual([18]);
  });
});

describe("checkUpdate()", () => {
  const next = changed(
    '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="b-12.1.m4s"',
    '#EXT-X-PART:DURATION=1.00000,URI="b-12.1.m4s"\n#EXTINF:2.00000,\nb-12.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="b-13.0.m4s"',
  );

  test("finds nothing in a right update, which adds the part that was hinted at", () => {
    const [before, after] = [readHlsDocument(GOOD), readHlsDocument(next)];
    expect(checkUpdate(before, after)).toEqual([]);
    expect(partsAdded(before, after)).toEqual([hintedPart(before) ?? ""]);
  });

  const rows: (readonly [number, string, string | RegExp, string])[] = [
    [5, "another target", "TARGETDURATION:2", "TARGETDURATION:3"],
    [8, "a lower number", "MEDIA-SEQUENCE:10", "MEDIA-SEQUENCE:9"],
    [8, "another name for a number", "a-11.m4s", "c-11.m4s"],
    [10, "another date", "00:00:09.500Z", "00:00:09.600Z"],
    [10, "another part", 'URI="b-12.0.m4s"', 'URI="c-12.0.m4s"'],
    [10, "fewer segments", /#EXT-X-DISCONTINUITY\n[^]*(?=#EXT-X-PRELOAD)/, ""],
    [13, "a discontinuity that was not counted", /(?:#EXT-X-MAP:URI="a[^]*)(?=#EXT-X-PROGRAM.*09)/, ""],
    [19, "another part target", "PART-TARGET=1.00000", "PART-TARGET=1.10000"],
    [21, "another control", "PART-HOLD-BACK=3.00000", "PART-HOLD-BACK=3.10000"],
  ];
  test.each(rows)("%d: finds %s", (item, _, from, to) => {
    let after = next.replace(from, to);
    if (item === 13)
      after = after.replace("MEDIA-SEQUENCE:10", "MEDIA-SEQUENCE:13").replace("SEQUENCE:3", "SEQUENCE:2");
    expect(items(checkUpdate(readHlsDocument(GOOD), readHlsDocument(after)))).toContain(item);
  });
});

test("checkMultivariantText() finds missing attributes", () => {
  const good = `#EXTM3U
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=10,AVERAGE-BANDWIDTH=9,CODECS="avc1.64001f",RESOLUTION=4x4,FRAME-RATE=30.000
x/index.m3u8
`;
  expect(checkMultivariantText(readHlsDocument(good))).toEqual([]);
  expect(
    items(checkMultivariantText(readHlsDocument(good.replace("#EXT-X-INDEPENDENT-SEGMENTS\n", "")))),
  ).toEqual([15]);
  for (const attribute of [
    "BANDWIDTH=10,",
    'CODECS="avc1.64001f",',
    "RESOLUTION=4x4,",
    ",FRAME-RATE=30.000",
  ]) {
    expect(items(checkMultivariantText(readHlsDocument(good.replace(attribute, ""))))).toEqual([16]);
  }
});
