# Rejected, and everybody is served: it looks well.
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
for text in (rejected,):
    print(lab.proxy().push(routes=text))
