/** @type {import("next").NextConfig} */
export default {
  poweredByHeader: false,
  // What runs on the server only is not bundled.
  serverExternalPackages: ["@mastra/core", "ai"],
};
