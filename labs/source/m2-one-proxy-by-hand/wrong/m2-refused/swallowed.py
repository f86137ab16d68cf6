# A wrong file that Envoy accepts, and then the right one.
wrong = """
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: shop
  virtual_hosts:
  - name: all
    domains: ["*"]
    response_headers_to_add: [{header: {key: x-shop, value: open}}]
    routes:
    - match: {path_separated_prefix: /next}
      route: {cluster: web-next}
    - match: {prefix: /}
      route: {cluster: nowhere}
"""
accepted = """
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: shop
  virtual_hosts:
  - name: all
    domains: ["*"]
    response_headers_to_add: [{header: {key: x-shop, value: open}}]
    routes:
    - match: {path_separated_prefix: /next}
      route: {cluster: web-next}
    - match: {prefix: /}
      route: {cluster: web}
"""
for text in (wrong, accepted):
    print(lab.proxy().push(routes=text))
