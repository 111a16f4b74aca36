/**
 * Which of several answers at one URL a request is for: `Vary` names the request headers that an answer was chosen by,
 * and values that mean the same are one.
 */
// RFC 9111 4.1 (calculating cache keys with Vary); RFC 9110 12.5.3, 12.5.4
import { splitList } from "./policy-directives.ts";
import { isFieldName } from "./response-head.ts";

/** An answer that was chosen by more headers than this is as good as never asked for again. */
export const VARY_NAMES_MAX = 16;
/** Longer values stand in a key by their digest. */
const KEY_VALUE_LENGTH_MAX = 128;
const CODINGS = ["br", "deflate", "gzip", "zstd"];

/** The names in `Vary`, lower-case, sorted, each once; `*` where nothing that is stored can match, or who knows. */
export function varyNamesOf(headers: Headers): readonly string[] | "*" {
  const field = headers.get("vary");
  if (field === null) return [];
  const names = [...new Set(splitList(field.toLowerCase()))].toSorted();
  const isReadable = names.length <= VARY_NAMES_MAX && names.every(isFieldName);
  return isReadable && !names.includes("*") ? names : "*";
}

/** What is added to a URL's key for a request whose answer was chosen by headers of these names. */
export function varyKeyOf(names: readonly string[], request: Headers): string {
  return names.map((name) => `\n${name}:${keyValueOf(normaliseField(name, request.get(name)))}`).join("");
}

function keyValueOf(value: string): string {
  return value.length > KEY_VALUE_LENGTH_MAX
    ? new Bun.CryptoHasher("sha256").update(value).digest("hex")
    : value;
}

/** A header's value without what makes no difference. A header that is not there is not one that is empty. */
export function normaliseField(name: string, value: string | null): string {
  if (value === null) return "";
  if (name === "accept-encoding") return `=${normaliseAcceptEncoding(value)}`;
  const items = splitList(value);
  if (name === "accept-language") return `=${normaliseLanguages(items)}`;
  return `=${items.join(",")}`;
}

/** Languages have no case, and no order but that of their qualities. */
function normaliseLanguages(items: readonly string[]): string {
  return items
    .map((item) => item.toLowerCase().replaceAll(/\s+/g, ""))
    .toSorted()
    .join(",");
}

/**
 * The codings in use among those accepted, so that the lists of a dozen browsers are three or four. This is also what is
 * asked of the upstream.
 */
export function normaliseAcceptEncoding(value: string): string {
  const accepted = new Map<string, boolean>();
  for (const item of splitList(value.toLowerCase())) {
    const [coding = "", quality] = item.split(/\s*;\s*q\s*=\s*/);
    accepted.set(coding, quality === undefined || Number(quality) > 0);
  }
  const isOtherAccepted = accepted.get("*") ?? false;
  const codings = CODINGS.filter((coding) => accepted.get(coding) ?? isOtherAccepted);
  return codings.length === 0 ? "identity" : codings.join(", ");
}
