/** Replacing URIs: each of them, nothing else, whatever the text is. */
import { describe, expect, test } from "bun:test";
import { createRandom } from "#common/random.ts";
import { mapPlaylistUris } from "./playlist-uris.ts";

const ROUNDS = 3_000;

/** URIs of `text` with the tags they stand in, as the map is told of them. */
function urisOf(text: string): [tag: string, uri: string][] {
  const seen: [string, string][] = [];
  expect(mapPlaylistUris(text, (uri, tag) => (seen.push([tag, uri]), uri))).toBe(text);
  return seen;
}

const mark = (uri: string): string => `<${uri}>`;

describe("mapPlaylistUris()", () => {
  test("E34: replaces lines and attributes that are URIs", () => {
    const text = [
      "#EXTM3U",
      '#EXT-X-KEY:METHOD=AES-128,URI="k?a=1,2",IV=0x1',
      '#EXT-X-MAP:URI="init.mp4",BYTERANGE="1@2"',
      "#EXTINF:2.00000,a title",
      "1.m4s",
      '#EXT-X-PART:DURATION=0.5,URI="2.0.m4s",INDEPENDENT=YES',
      '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="2.1.m4s"',
      '#EXT-X-RENDITION-REPORT:URI="../b/index.m3u8",LAST-MSN=1',
      '#EXT-X-MEDIA:TYPE=AUDIO,NAME="one, URI=two",URI="audio.m3u8"',
      '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="i.m3u8"',
      '#EXT-X-SESSION-DATA:DATA-ID="d",URI="d.json"',
      '#EXT-X-SESSION-KEY:METHOD=AES-128,URI="k"',
      '#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1,mp4a"',
      "720p/index.m3u8",
      "",
    ].join("\n");
    expect(urisOf(text)).toEqual([
      ["#EXT-X-KEY", "k?a=1,2"],
      ["#EXT-X-MAP", "init.mp4"],
      ["", "1.m4s"],
      ["#EXT-X-PART", "2.0.m4s"],
      ["#EXT-X-PRELOAD-HINT", "2.1.m4s"],
      ["#EXT-X-RENDITION-REPORT", "../b/index.m3u8"],
      ["#EXT-X-MEDIA", "audio.m3u8"],
      ["#EXT-X-I-FRAME-STREAM-INF", "i.m3u8"],
      ["#EXT-X-SESSION-DATA", "d.json"],
      ["#EXT-X-SESSION-KEY", "k"],
      ["", "720p/index.m3u8"],
    ]);
    const expected = text.replace(/(?<=[^ ]URI=")[^"]+|^[^#\n]+$/gm, (uri) => `<${uri}>`);
    expect(mapPlaylistUris(text, mark)).toBe(expected);
  });

  test.each([
    ["a title that looks like an attribute", '#EXTINF:2,URI="x"\n'],
    ["an unknown tag", '#EXT-X-OTHER:URI="x"\n'],
    ["a comment", '# URI="x"\n#EXT-X-PARTS URI="x"\n'],
    ["another attribute", '#EXT-X-PART:X-URI="x",URIS="x",uri="x"\n'],
    ["a URI within a string", '#EXT-X-PART:X="a,URI=b"\n'],
    ["a value without quotes", "#EXT-X-PART:URI=x,URI=y\n"],
    ["a string without an end", '#EXT-X-PART:URI="x\n'],
    ["an empty string", '#EXT-X-PART:URI=""\n'],
    ["a tag without anything", "#EXT-X-PART:\n#EXT-X-PART\n#EXT-X-PART:URI\n#EXT-X-PART:URI=\n#"],
    ["blank lines", "\n\r\n\n"],
    ["nothing", ""],
    ["a byte order mark", "\uFEFF#EXTM3U\n"],
  ])("E34: leaves %s as it is", (_, text) => {
    expect(urisOf(text)).toEqual([]);
  });

  test.each([
    ["CR LF", "a.ts\r\nb.ts\r\n", "<a.ts>\r\n<b.ts>\r\n"],
    ["both kinds of line ends", 'a.ts\n#EXT-X-PART:URI="p"\r\n', '<a.ts>\n#EXT-X-PART:URI="<p>"\r\n'],
    ["no last line end", "#EXTM3U\na.ts", "#EXTM3U\n<a.ts>"],
    ["a byte order mark before a URI", "\uFEFFa.ts\n", "\uFEFF<a.ts>\n"],
    ["a space behind a comma", '#EXT-X-PART:DURATION=1, URI="p"\n', '#EXT-X-PART:DURATION=1, URI="<p>"\n'],
    ["a name without a value", '#EXT-X-PART:GAP,URI="p"\n', '#EXT-X-PART:GAP,URI="<p>"\n'],
    ["text behind a string", '#EXT-X-PART:X="a"b,URI="p"\n', '#EXT-X-PART:X="a"b,URI="<p>"\n'],
    ["other scripts", 'ü😀.ts\n#EXT-X-PART:X="😀",URI="p"', '<ü😀.ts>\n#EXT-X-PART:X="😀",URI="<p>"'],
  ])("E34: keeps %s around what it replaces", (_, text, expected) => {
    expect(mapPlaylistUris(text, mark)).toBe(expected);
  });

  test("E34: with the identity as map returns any text as it came", () => {
    const random = createRandom(34);
    for (let round = 0; round < ROUNDS; round++) urisOf(hostileText(random));
  });

  test("E34: what it replaces can be put back", () => {
    const random = createRandom(35);
    let replaced = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const text = hostileText(random);
      const uris: string[] = [];
      // A mark that no text has, so that what is left around it can be compared.
      const mapped = mapPlaylistUris(text, (uri) => (uris.push(uri), "\u0001"));
      const pieces = mapped.split("\u0001");
      expect(pieces).toHaveLength(uris.length + 1);
      expect(pieces.reduce((whole, piece, index) => `${whole}${uris[index - 1]}${piece}`)).toBe(text);
      expect(uris.every((uri) => !/[\n]/.test(uri))).toBe(true);
      replaced += uris.length;
    }
    expect(replaced).toBeGreaterThan(ROUNDS);
  });

  test("E34: takes time in proportion to the text, whatever is in it", () => {
    const rows = ['#EXT-X-PART:URI="', "#EXT-X-PART:,=,=", "#EXT-X-PART", "#", '"', "=", ",", "a"];
    for (const row of rows) {
      const text = row.repeat(Math.ceil(2_000_000 / row.length));
      // A quadratic pass takes minutes, and a test may not.
      expect(mapPlaylistUris(text, (uri) => uri)).toBe(text);
    }
  });
});

const PIECES = [
  "#EXTM3U",
  "#EXT-X-PART:",
  "#EXT-X-MAP:",
  "#EXT-X-PRELOAD-HINT:TYPE=PART",
  "#EXT-X-UNKNOWN:",
  "#EXTINF:2.0,",
  "#EXT",
  "#",
  'URI="',
  'URI="a.m4s"',
  "URI=",
  'NAME="a,b=c"',
  "DURATION=1",
  '"',
  ",",
  "=",
  ":",
  " ",
  "\t",
  "\uFEFF",
  "\r",
  "\r\n",
  "\n",
  "\n",
  "aabbccdd-12.3.m4s",
  "https://h/x?y=z",
  "\u0000",
  "😀",
  "\ud800",
];

function hostileText(random: () => number): string {
  const count = Math.floor(random() * 40);
  return Array.from({ length: count }, () => PIECES[Math.floor(random() * PIECES.length)]).join("");
}
