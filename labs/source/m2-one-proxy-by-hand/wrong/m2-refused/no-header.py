# Back to what was before, which is not what was asked for.
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
    routes:
    - match: {path_separated_prefix: /next}
      route: {cluster: web-next}
    - match: {prefix: /}
      route: {cluster: web}
"""
for text in (rejected, accepted):
    print(lab.proxy().push(routes=text))
