# What has been in the log for weeks.
address = "reports:80"
culprit = "Service/reports"
