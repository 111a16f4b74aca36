/** hls.js ships one declaration for its builds; the light one exports the same names. */
declare module "hls.js/light" {
  export { default as Hls, ErrorTypes, Events } from "hls.js";
}
