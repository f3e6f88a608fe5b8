export { LiveView, type LiveViewProps } from "./LiveView.js";
