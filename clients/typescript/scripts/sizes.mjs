// What an application pays: each entry bundled, minified and gzipped, React left out. Fails above the bounds.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const entries = [
  { name: "@roomcast/client", path: "dist/index.js", bound: 8 * 1024 },
  { name: "@roomcast/client/react", path: "dist/react.js", bound: 2 * 1024 },
];

for (const { name, path, bound } of entries) {
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", external: ["react"], write: false };
  const { outputFiles } = await build({ entryPoints: [path], ...options });
  const minified = outputFiles[0].contents;
  const bytes = gzipSync(minified, { level: 9 }).length;
  console.log(`${name}: ${bytes} bytes gzipped, of at most ${bound} (minified ${minified.length})`);
  if (bytes > bound) process.exitCode = 1;
}
