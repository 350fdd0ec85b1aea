// Builds ../static/graphiql: one script, one style sheet, and the licences of everything that is in them.
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = resolve(here, "../static/graphiql");

/** GraphiQL's style sheets embed Roboto and Fira Code (over 700 kB); theme.css names system fonts instead. */
const systemFonts = {
  name: "system-fonts",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.css$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(/@font-face\s*\{[^}]*\}/g, ""),
      loader: "css",
    })),
};

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { graphiql: "main.jsx" },
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  minify: true,
  legalComments: "none", // LICENSES.txt carries them in full
  loader: { ".png": "dataurl" },
  define: { "process.env.NODE_ENV": '"production"' },
  alias: { "react-style-singleton": "./no-styles.js" },
  plugins: [systemFonts],
  metafile: true,
});

/** The packages that contribute at least one byte, as folders below node_modules. */
function bundledPackages(outputs) {
  const files = Object.values(outputs).flatMap((output) =>
    Object.entries(output.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path),
  );
  const folders = files.map((path) => path.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1]);
  return [...new Set(folders.filter(Boolean))].sort();
}

/** "name version (licence)" and the package's own licence text; a package without a licence stops the build. */
function notice(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(here, folder, "package.json"), "utf8"));
  if (!license) throw new Error(`${name} ${version} names no licence: it cannot be vendored.`);
  const file = readdirSync(join(here, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(here, folder, file), "utf8").trim() : `Licence: ${license}`;
  return `${name} ${version} (${license})\n\n${text}\n`;
}

const rule = `\n${"-".repeat(80)}\n\n`;
const notices = bundledPackages(metafile.outputs).map(notice);
writeFileSync(join(outdir, "LICENSES.txt"), ["graphiql.js and graphiql.css contain:\n", ...notices].join(rule));
