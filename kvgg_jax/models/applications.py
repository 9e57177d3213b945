"""The networks of Keras Applications by name. `keras_networks` makes them; this loads no Keras."""

from __future__ import annotations

APPLICATIONS = {
    "convnext-tiny": "convnext.ConvNeXtTiny",
    "convnext-small": "convnext.ConvNeXtSmall",
    "convnext-base": "convnext.ConvNeXtBase",
    "convnext-large": "convnext.ConvNeXtLarge",
    "convnext-xlarge": "convnext.ConvNeXtXLarge",
    "densenet121": "densenet.DenseNet121",
    "densenet169": "densenet.DenseNet169",
    "densenet201": "densenet.DenseNet201",
    **{f"efficientnet-b{n}": f"efficientnet.EfficientNetB{n}" for n in range(8)},
    **{f"efficientnetv2-b{n}": f"efficientnet_v2.EfficientNetV2B{n}" for n in range(4)},
    **{f"efficientnetv2-{size.lower()}": f"efficientnet_v2.EfficientNetV2{size}" for size in "SML"},
    "inceptionresnetv2": "inception_resnet_v2.InceptionResNetV2",
    "inceptionv3": "inception_v3.InceptionV3",
    "mobilenet": "mobilenet.MobileNet",
    "mobilenetv2": "mobilenet_v2.MobileNetV2",
    "mobilenetv3-small": "mobilenet_v3.MobileNetV3Small",
    "mobilenetv3-large": "mobilenet_v3.MobileNetV3Large",
    "nasnet-mobile": "nasnet.NASNetMobile",
    "nasnet-large": "nasnet.NASNetLarge",
    **{f"resnet{depth}": f"resnet.ResNet{depth}" for depth in (50, 101, 152)},
    **{f"resnet{depth}v2": f"resnet_v2.ResNet{depth}V2" for depth in (50, 101, 152)},
    "xception": "xception.Xception",
}
"""Name -> module and function below `keras.applications`."""
