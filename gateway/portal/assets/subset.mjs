// SPDX-License-Identifier: Apache-2.0
//
// node subset.mjs BOOTSTRAP_ITALIA PORTAL TO
//
// Writes to TO what the portal's pages need of Bootstrap Italia: the rules of its
// style sheet whose selectors can match something that templates or scripts name
// (a twentieth), and two weights of Titillium Web with the letters of our
// languages. Run by deploy/tools/assets.sh beside node_modules.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PurgeCSS } from "purgecss";
import subsetFont from "subset-font";

const [bootstrap, portal, to] = process.argv.slice(2);
const text = (...path) => readFileSync(join(...path), "utf8");
const all = (folder, ending) => readdirSync(join(portal, folder)).filter((f) => f.endsWith(ending)).map((f) => text(portal, folder, f)).join("\n");
mkdirSync(join(to, "fonts"), { recursive: true });

// Every word of a template or script may be a class, for some are put together
// there. What only Go names (the function alert) ends in words that templates
// have: "alert", "badge".
const pages = all("templates", ".html"), scripts = all("static", ".js");
const css = text(bootstrap, "dist/css/bootstrap-italia.min.css").replace(/^\uFEFF/, "").replace(/^\/\*# sourceMappingURL=.*$/m, "");
const [subset] = await new PurgeCSS().purge({
  content: [{ raw: pages, extension: "html" }, { raw: scripts, extension: "js" }],
  css: [{ raw: css }],
  safelist: ["alert", "alert-info", "alert-success", "alert-warning", "alert-danger"],
  variables: true,
  keyframes: true,
  fontFace: true,
});
// A rule that lost all its selectors leaves empty braces behind.
let style = subset.css, before;
do {
  before = style;
  style = style.replace(/(?<=[{}]|\*\/)(?:(?!\*\/)[^{}])+\{\s*\}/g, "");
} while (style !== before);
if (!style.includes("Bootstrap Italia") || !style.includes(".btn-primary") || style.length < 10_000) throw new Error("the subset of the style is not one");
writeFileSync(join(to, "bootstrap-italia.min.css"), style);

// Printable ASCII and Latin-1; what the words, pages and our own style hold
// beside; letters of names in the languages around.
const from = (a, b) => Array.from({ length: b - a + 1 }, (_, i) => String.fromCodePoint(a + i)).join("");
const letters = from(0x20, 0x7e) + from(0xa0, 0xff) + "ĆćČčĐđŠšŽžŁłŐőŰűŒœŸẞ‑–—‘’‚“”„†•…‹›€−" + all("words", ".txt") + pages + scripts + text(portal, "static/app.css");
for (const [name, weight] of [["regular", "400"], ["600", "600"]]) {
  const font = readFileSync(join(bootstrap, `dist/fonts/Titillium_Web/titillium-web-v10-latin-ext_latin-${name}.woff2`));
  writeFileSync(join(to, "fonts", `titillium-web-${weight}.woff2`), await subsetFont(font, letters, { targetFormat: "woff2" }));
}
