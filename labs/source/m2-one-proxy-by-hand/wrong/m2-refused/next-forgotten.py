# The new file has the header and lacks a route.
rejected = """
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: shop
  virtual_hosts:
  - name: all
    domains: ["*", "*"]
    routes:
    - match: {prefix: /}
      route: {cluster: web}
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
    - match: {prefix: /}
      route: {cluster: web}
"""
for text in (rejected, accepted):
    print(lab.proxy().push(routes=text))
