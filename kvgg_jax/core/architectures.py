"""The names of the backbones: those of this package, and those of Keras Applications."""

from __future__ import annotations

VGG = ("vgg11", "vgg13", "vgg16", "vgg19")

APPLICATIONS = {
    "convnext-tiny": "convnext.ConvNeXtTiny",
    "convnext-small": "convnext.ConvNeXtSmall",
    "convnext-base": "convnext.ConvNeXtBase",
    "convnext-large": "convnext.ConvNeXtLarge",
    "convnext-xlarge": "convnext.ConvNeXtXLarge",
    **{f"densenet{depth}": f"densenet.DenseNet{depth}" for depth in (121, 169, 201)},
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

ARCHITECTURES = (*VGG, *APPLICATIONS)
