/** Options of `bench cache-tests`. */
import { flag, httpUrl, integer, port, text, type ConfigOf, type OptionSet } from "#common/options.ts";
import { shared } from "./config.ts";

/** Tests at once, as many as the suite itself runs. */
const TOGETHER = 25;

/** Options of `bench cache-tests`. */
export const cacheTestsOptions = {
  suite: text({
    table: "top",
    description: "Checkout of github.com/http-tests/cache-tests. Nothing is written there.",
    valueName: "<folder>",
    default: "",
    defaultText: "none; has to be given",
    pattern: /^[^\0]+$/,
    allowed: "a path",
  }),
  base: httpUrl({
    table: "top",
    description:
      "Cache to test, in front of the suite's origin server. Without it an edge is started, as a plain caching proxy.",
    default: "",
    defaultText: "an edge of its own",
  }),
  "origin-port": port({
    table: "top",
    description:
      "Port of the suite's origin server on this machine, which is started unless it runs already. A cache that is given by --base has to have it as upstream.",
    default: 8000,
  }),
  together: integer({
    table: "top",
    description: "Tests at once.",
    default: TOGETHER,
    min: 1,
    max: 1_000,
  }),
  only: text({
    table: "top",
    description: "Only these tests and what they build on: ids of the suite with commas between them.",
    valueName: "<ids>",
    default: "",
    defaultText: "all",
    pattern: /^[\w*=.-]+(?:,[\w*=.-]+)*$/,
    allowed: "ids with commas between them",
  }),
  verbose: flag({ table: "top", description: "Tell each test that failed, and why." }),
  ...shared,
} satisfies OptionSet;
export type CacheTestsConfig = ConfigOf<typeof cacheTestsOptions>;
