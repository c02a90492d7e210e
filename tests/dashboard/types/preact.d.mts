export * from "../../../.venv/node/node_modules/preact/src/index.js";
