import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Fixed names, as the build is committed and the server sends an entity tag for each.
export default defineConfig({
  base: "/console/",
  plugins: [react()],
  resolve: { alias: { "@roomcast/client": here("../clients/typescript/src/index.ts") } },
  build: {
    outDir: here("../service/console/static"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        entryFileNames: "console.js",
        assetFileNames: (asset) => (asset.names.some((name) => name.endsWith(".css")) ? "console.css" : "[name][extname]"),
        codeSplitting: false,
      },
    },
  },
});
