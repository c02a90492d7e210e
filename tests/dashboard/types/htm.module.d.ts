import htm from "../../../.venv/node/node_modules/htm/dist/htm.js";
export default htm;
