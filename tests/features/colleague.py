"""A colleague's script: Feast and the home's folder, and nothing of Twinvec's. Prints JSON."""

import json
import sys
from datetime import UTC, datetime

import pandas as pd
from feast import FeatureStore

home, keys = sys.argv[1], sys.argv[2].split(",")
store = FeatureStore(repo_path=home)
service = store.get_feature_service("related_products")

table = pd.DataFrame({"product_id": keys, "event_timestamp": datetime.now(UTC)})
historical = store.get_historical_features(entity_df=table, features=service).to_df().set_index("product_id")
online = store.get_online_features(
    features=service, entity_rows=[{"product_id": key} for key in keys]
).to_dict()

assert "twinvec" not in sys.modules
sys.stdout.write(
    json.dumps(
        {
            "views": [view.name for view in service.feature_view_projections],
            "historical": json.loads(historical.drop(columns="event_timestamp").to_json(double_precision=15)),
            "online": online,
            "tags": store.get_feature_view("related__v1").tags,
            "fields": {
                field.name: [field.vector_index, field.vector_length, field.vector_search_metric]
                for field in store.get_feature_view("related__v1").features
            },
        }
    )
)
