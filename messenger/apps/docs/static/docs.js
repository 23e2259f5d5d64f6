// Starts Swagger UI. A file of its own, since the page's policy allows no script inside the page.
window.ui = SwaggerUIBundle({
  url: "/swagger.yml",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayOperationId: true,
  docExpansion: "list",
  tryItOutEnabled: true,
  validatorUrl: null, // the default sends the address of this page to another server
  presets: [SwaggerUIBundle.presets.apis],
});
