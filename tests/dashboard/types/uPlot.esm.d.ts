import uPlot from "../../../.venv/node/node_modules/uplot/dist/uPlot.js";
export default uPlot;
