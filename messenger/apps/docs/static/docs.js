// Starts Swagger UI. A file of its own, since the page's policy allows no script inside the page.
const server = new URL("../../", document.currentScript.src).href;
// The file is that of a server at the root; this one may be below a path. Signing in needs a whole address.
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
