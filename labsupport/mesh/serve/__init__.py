"""The resources as they are served: what each proxy has and acknowledged, over one ADS stream each."""
