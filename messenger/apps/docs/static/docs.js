// Starts Swagger UI. A file of its own, since the page's policy allows no script inside the page.
const server = new URL("../../", document.currentScript.src).href;
// It finds the way to sign in only from a whole address, and the file's own is relative.
const whole = (spec) => ({ ...spec, servers: [{ ...spec.servers[0], url: server }] });
window.ui = SwaggerUIBundle({
  url: `${server}swagger.yml`,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayOperationId: true,
  docExpansion: "list",
  tryItOutEnabled: true,
  validatorUrl: null, // the default sends the address of this page to another server
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [{ statePlugins: { spec: { wrapActions: { updateJsonSpec: (update) => (spec) => update(whole(spec)) } } } }],
});
