/** What an edge gets to serve: files that fit together, names by content, and a policy without holes. */
import { beforeAll, describe, expect, test } from "bun:test";
import { buildPage, pageSecurityHeaders, type PageFile } from "./bundle.ts";

const HASHED = /^\/[a-z]+-[0-9a-f]{10}\.(js|css|svg)$/;
let page: ReadonlyMap<string, PageFile>;
let html: string;

beforeAll(async () => {
  page = await buildPage();
  html = new TextDecoder().decode(page.get("/")?.body);
});

test("buildPage() gives the page, script, style and icon, all but the page named by content", () => {
  const paths = [...page.keys()];
  expect(paths).toHaveLength(4);
  expect(paths).toContain("/");
  for (const path of paths.filter((path) => path !== "/")) expect(path).toMatch(HASHED);
});

test("buildPage() has every file that the page refers to, relative to it", () => {
  const references = [...html.matchAll(/(?:src|href)="(\.\/[^"]+)"/g)].map(
    ([, path]) => path?.slice(1) ?? "",
  );
  expect(references.toSorted()).toEqual([...page.keys()].filter((path) => path !== "/").toSorted());
});

test("buildPage() lets only the page itself be asked for again", () => {
  for (const [path, { cacheControl, etag }] of page) {
    expect(cacheControl).toBe(path === "/" ? "no-cache" : "public, max-age=31536000, immutable");
    expect(etag).toMatch(/^"[\w-]{24}"$/);
  }
});

test("buildPage() types its files", () => {
  const types = [...page.values()].map(({ contentType }) => contentType);
  expect(types.toSorted()).toEqual([
    "image/svg+xml",
    "text/css; charset=utf-8",
    "text/html; charset=utf-8",
    "text/javascript; charset=utf-8",
  ]);
});

test("buildPage() names a file by nothing but its bytes, so that any edge has what another's page refers to", () => {
  for (const [path, { body }] of page) {
    const hash = new Bun.CryptoHasher("sha256").update(body).digest("hex");
    if (path !== "/") expect(path).toContain(`-${hash.slice(0, 10)}.`);
  }
});

test("buildPage() keeps the licence note of hls.js in the script", () => {
  const script = [...page].find(([path]) => path.endsWith(".js"))?.[1];
  expect(new TextDecoder().decode(script?.body)).toStartWith("/*! contains hls.js");
});

test("buildPage() compresses what gets smaller by it", () => {
  for (const { body, gzip = new Uint8Array() } of page.values()) {
    expect(gzip.length).toBeLessThan(body.length);
    expect(Bun.gunzipSync(gzip)).toEqual(body);
  }
});

test("buildPage() twice gives the same names and bytes", async () => {
  const second = await buildPage();
  expect(new Map(second)).toEqual(new Map(page));
});

test("buildPage() leaves no script or style inside the page, which its policy would block", () => {
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)/);
  expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=/);
});

describe("pageSecurityHeaders", () => {
  const policy = new Map(
    (pageSecurityHeaders["content-security-policy"] ?? "").split("; ").map((directive) => {
      const [name = "", ...sources] = directive.split(" ");
      return [name, sources.join(" ")];
    }),
  );

  test("lets scripts and styles come from the page's own host only", () => {
    expect(policy.get("default-src")).toBe("'none'");
    expect(policy.get("script-src")).toBe("'self'");
    expect(policy.get("style-src")).toBe("'self'");
    expect([...policy.values()].join(" ")).not.toContain("unsafe");
  });

  test("lets video and figures come from any edge", () => {
    expect(policy.get("connect-src")).toBe("'self' http: https:");
    expect(policy.get("media-src")).toBe("'self' blob: http: https:");
  });
});
